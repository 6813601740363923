#!/bin/sh
cat <<'TEXT'

The cluster runs. Try next:
  make status                                                   the picture above, again
  docker exec sipha-sip1 sipha-health                           can this proxy serve?
  docker exec sipha-sip1 systemctl stop keepalived              move the VIP; then make status
  docker exec -it sipha-phone sipp -h                           a phone behind a home router's NAT
  .venv/bin/ansible-playbook playbooks/site.yml                 run again: changes nothing
  .venv/bin/pytest molecule/cluster/tests -v                    the tests, as a SIP client sees them
  make destroy                                                  take it all away
TEXT
