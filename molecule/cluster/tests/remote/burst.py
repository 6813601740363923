"""Connections to the local db_router, all at once, as an engine that starts opens them: prints how many ended at which database.

burst.py COUNT PORT USER PASSWORD
"""

import json
import sys
import threading
from collections import Counter

import pymysql

count, port, user, password = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
found: "Counter[str]" = Counter()
together = threading.Barrier(count)


def connect() -> None:
    together.wait()
    try:
        connection = pymysql.connect(host="127.0.0.1", port=port, user=user, password=password, connect_timeout=5, read_timeout=5)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT @@hostname")
            (row,) = cursor.fetchall()
            found[row[0]] += 1
    except (pymysql.MySQLError, OSError) as error:
        found[str(error)] += 1


threads = [threading.Thread(target=connect) for _ in range(count)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(found))
