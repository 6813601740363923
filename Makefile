# make cluster   builds the lab and a running cluster in it
# make test      lint, unit tests, molecule scenarios on the lab
# make destroy   removes the lab
SHELL := /bin/bash
VENV := .venv/bin
export PATH := $(CURDIR)/$(VENV):$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.PHONY: venv packages lab cluster status test lint unit molecule destroy benchmark docs

venv:
	@tools/bootstrap.sh

packages:
	@tools/packages.sh

lab: venv
	@ansible-playbook -i inventories/lab lab/create.yml

cluster: packages venv
	@ansible-playbook -i inventories/lab lab/create.yml
	@ansible-playbook -i inventories/lab playbooks/secrets.yml
	@relay=$$(tools/lab_relay.sh) && ansible-playbook -i inventories/lab playbooks/site.yml -e sipha_media_relay=$$relay \
		&& ansible-playbook -i inventories/lab playbooks/status.yml -e sipha_media_relay=$$relay
	@tools/next_steps.sh

status: venv
	@ansible-playbook -i inventories/lab playbooks/status.yml -e sipha_media_relay=$$(tools/lab_relay.sh 2>/dev/null)

lint: venv
	ruff check .
	ruff format --check .
	mypy plugins/module_utils plugins/filter plugins/modules tools
	yamllint .
	ansible-lint

unit: venv
	pytest tests/unit

test: venv
	@tools/run_tests.py

benchmark: venv
	@tools/benchmark_topology.py
	@tools/benchmark.py

docs: venv
	@tools/role_readmes.py

destroy: venv
	@ansible-playbook -i inventories/lab lab/destroy.yml
