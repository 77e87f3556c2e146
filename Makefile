# One command per purpose; `make help` lists them. A fresh Debian 12 with Rust and a C compiler is enough to start.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

CARGO ?= cargo
CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR

# Programs that cargo and pip install for tests and lints; they outlive the build's own files.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/foghorn
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
# Python programs that tests run; the file is made when all of them are installed.
VENV := $(CACHE)/python-$(shell sha256sum tests/python/requirements.txt | cut -c1-16)
PYTHON_TOOLS := $(VENV)/.installed
# A Debian in which packages are tested, new every month. Only root can make one and use it.
DEBIAN := $(if $(filter 0,$(shell id -u)),$(CACHE)/debian-bookworm-$(shell date +%Y-%m))
# Writes down how long a step takes, for the table at the end of .ci/run.
STEP := .ci/step

# program:package, for what a fresh Debian 12 may lack, by purpose. FILES_… the same for what is no program: protoc's own
# .proto files, which etcd-client's build imports.
PROGRAMS_build := protoc:protobuf-compiler gcc:gcc
FILES_build := /usr/include/google/protobuf/descriptor.proto:libprotobuf-dev
# What makes and checks the disks of the demo.
PROGRAMS_demo := $(PROGRAMS_build) \
	sgdisk:gdisk sfdisk:fdisk blkid:util-linux mkfs.fat:dosfstools mcopy:mtools mke2fs:e2fsprogs debugfs:e2fsprogs \
	mkfs.ntfs:ntfs-3g
FILES_demo := $(FILES_build)
# What makes packages, and the client that is linked statically.
PROGRAMS_deb := $(PROGRAMS_build) musl-gcc:musl-tools dpkg-deb:dpkg strip:binutils
FILES_deb := $(FILES_build)
# What makes container images: etcd is put into one of them.
PROGRAMS_images := $(PROGRAMS_deb) etcd:etcd-server etcdctl:etcd-client
FILES_images := $(FILES_deb)
# What a cluster of the tests has from Debian; the rest is built (tests/kube/tools), with a Go of any version.
PROGRAMS_chart := $(PROGRAMS_images) \
	containerd:containerd ctr:containerd runc:runc iptables:iptables ipset:ipset conntrack:conntrack ethtool:ethtool \
	ip:iproute2 nsenter:util-linux sysctl:procps mount:mount openssl:openssl jq:jq busybox:busybox-static \
	docker-registry:docker-registry gpg:gnupg gpg-agent:gnupg gpgconf:gnupg promtool:prometheus
FILES_chart := $(FILES_images) /usr/lib/cni/bridge:containernetworking-plugins
# Everything, peers of the benchmarks too: tests run each benchmark for a moment.
PROGRAMS_test := $(PROGRAMS_demo) \
	etcd:etcd-server etcdctl:etcd-client wrk:wrk partclone.ext4:partclone nginx:nginx zstd:zstd curl:curl nft:nftables ip:iproute2 \
	ps:procps losetup:mount mdadm:mdadm mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs mkfs.exfat:exfatprogs \
	cryptsetup:cryptsetup-bin wipefs:util-linux mkswap:util-linux veritysetup:cryptsetup-bin \
	mkfs.f2fs:f2fs-tools mkfs.jfs:jfsutils mkreiserfs:reiserfsprogs mkfs.nilfs2:nilfs-tools \
	mkfs.ocfs2:ocfs2-tools mkfs.gfs2:gfs2-utils mkudffs:udftools genisoimage:genisoimage \
	mksquashfs:squashfs-tools mkfs.erofs:erofs-utils make-bcache:bcache-tools ntfs-3g.probe:ntfs-3g \
	python3:python3 jq:jq git:git udp-sender:udpcast uftp:uftp openssl:openssl \
	debootstrap:debootstrap systemd-nspawn:systemd-container dpkg-deb:dpkg strip:binutils busybox:busybox-static \
	musl-gcc:musl-tools
FILES_test := $(FILES_demo)

# Programs for disks are in sbin, which an ordinary user's path may lack.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

.PHONY: help setup build client-static deb images chart-lint chart-docs chart-versions chart-test install uninstall demo test bench-image bench-rest bench-gateway bench-multicast bench-sources bench-failover bench-replication bench-scale sim fuzz-disks soak sagas chaos chaos-old-bugs test-versions lint fmt deny fuzz

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

setup: ## Install all Debian packages that are missing (as root), or say which
	@$(STEP) setup $(MAKE) -s packages FOR=test

.PHONY: setup-build setup-demo setup-deb setup-images setup-chart packages
setup-build setup-demo setup-deb setup-images setup-chart: setup-%:
	@$(STEP) setup-$* $(MAKE) -s packages FOR=$*

packages:
	@missing=(); \
	for entry in $(PROGRAMS_$(FOR)); do \
		command -v "$${entry%%:*}" > /dev/null || missing+=("$${entry##*:}"); \
	done; \
	for entry in $(FILES_$(FOR)); do \
		test -e "$${entry%%:*}" || missing+=("$${entry##*:}"); \
	done; \
	if [ $(FOR) = test ]; then \
		python3 -c 'import ensurepip, venv' 2> /dev/null || missing+=(python3-venv); \
	fi; \
	if [ $(FOR) = chart ]; then \
		command -v go > /dev/null || test -x /usr/local/go/bin/go || missing+=(golang-go); \
	fi; \
	if [ "$${#missing[@]}" -eq 0 ]; then exit 0; fi; \
	packages=$$(printf '%s\n' "$${missing[@]}" | sort -u | tr '\n' ' '); \
	if [ "$$(id -u)" -ne 0 ]; then \
		echo "setup: these Debian packages are missing; as root: apt-get install $$packages" >&2; exit 1; \
	fi; \
	echo "setup: installing $$packages"; \
	apt-get update -qq || echo "setup: the package lists could not be refreshed, trying with those there are" >&2; \
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$packages > /dev/null; \
	for entry in $(PROGRAMS_$(FOR)); do \
		command -v "$${entry%%:*}" > /dev/null || { echo "setup: $${entry%%:*} is still missing" >&2; exit 1; }; \
	done

build: setup-build ## Build all programs for release
	$(CARGO) build --locked --release --bins

# The client and the host service for any Linux: no C library, no other. It has a folder of its own in the cache, because it is compiled for
# another target with other features, and tests use it too. Small, as machines download it: one optimisation level for all.
MUSL := x86_64-unknown-linux-musl
CLIENT_STATIC := $(CARGO_TARGET_DIR)/client-static/foghorn-client
CLIENT_TARGET := $(CACHE)/client-static-target

client-static: setup-deb ## Build a client, and the host service, that run on any Linux (x86_64), without libraries
	@rustup target list --installed 2> /dev/null | grep -qx $(MUSL) || rustup target add $(MUSL)
	@CARGO_INCREMENTAL=0 CC_x86_64_unknown_linux_musl=musl-gcc CARGO_TARGET_DIR=$(CLIENT_TARGET) \
		$(STEP) client-static $(CARGO) build --locked --profile client --target $(MUSL) -p foghorn-client
	@mkdir -p $(dir $(CLIENT_STATIC))
	@cp $(addprefix $(CLIENT_TARGET)/$(MUSL)/client/,foghorn-client foghorn-host) $(dir $(CLIENT_STATIC))

PACKAGING := $(CARGO_TARGET_DIR)/release/foghorn-packaging
PROGRAMS := --programs $(CARGO_TARGET_DIR)/release --client $(CLIENT_STATIC)

deb: build client-static ## Make Debian packages in target/deb
	$(PACKAGING) deb $(PROGRAMS) --out $(CARGO_TARGET_DIR)/deb

# The names of images begin with REGISTRY. A commit with changes of one's own is not that commit.
REGISTRY ?= localhost
REVISION := $(shell git describe --always --abbrev=40 --match= --dirty 2> /dev/null)
IMAGE_NAMES = --registry $(REGISTRY) $(if $(TAG),--tag $(TAG)) --revision "$(REVISION)" --source "$(SOURCE)"

images: setup-images build client-static ## Make container images in target/images (REGISTRY=localhost, TAG=version, SOURCE=address)
	@$(STEP) images $(PACKAGING) images $(PROGRAMS) $(IMAGE_NAMES) --out $(CARGO_TARGET_DIR)/images

# Compiles nothing, so that it can be run as root after `make build client-static`.
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
WHERE := --prefix $(PREFIX) --sysconfdir $(SYSCONFDIR) --destdir "$(or $(DESTDIR),/)"

install: ## Copy what `make build client-static` made to PREFIX (PREFIX=/usr/local, SYSCONFDIR=/etc, DESTDIR=)
	@$(PACKAGING) install $(PROGRAMS) $(WHERE)

uninstall: ## Remove what `make install` copied, but not changed configuration and data
	@$(PACKAGING) uninstall $(WHERE)

# Demo and tests use what one compilation made: the same profile and, in CI, the same command, because without the tests
# Cargo chooses other features for dependencies and compiles them and all of ours again.
BUILD := $(STEP) build $(CARGO) build --locked --workspace --bins

demo: setup-demo ## Capture a real disk, deploy it to three machines, check every file (DISK=path, KEEP=1)
	@$(BUILD) $(if $(CI),--tests --test fleet_sim)
	@$(STEP) demo $(CARGO_TARGET_DIR)/debug/foghorn demo

test: setup $(PYTHON_TOOLS) $(DEBIAN) client-static ## Run every test, with a real etcd
	@mkdir -p $(CARGO_TARGET_DIR)/tools && ln -sfn $(VENV) $(CARGO_TARGET_DIR)/tools/venv
	@$(if $(DEBIAN),ln -sfn $(DEBIAN) $(CARGO_TARGET_DIR)/tools/debian)
	@$(BUILD) --tests --test fleet_sim
	@CARGO='$(CARGO)' $(STEP) test .ci/test

# The images of the tests have the programs of the tests. KUBERNETES is the version of the cluster; objects are also shown
# to the API server of KUBERNETES_OLD, if that is not empty.
KUBERNETES_OLD ?= v1.35.4
CHART_IMAGES := $(abspath $(CARGO_TARGET_DIR))/images-of-tests
CHART_TEST := $(abspath $(CARGO_TARGET_DIR))/debug/chart-test
export PACKAGING_OF_TESTS := $(abspath $(CARGO_TARGET_DIR))/debug/foghorn-packaging

.PHONY: chart-programs
chart-programs: setup-chart
	@$(BUILD) $(if $(CI),--tests --test fleet_sim)
	@$(STEP) kube-tools tests/kube/tools

chart-lint: chart-programs ## Lint and render the chart with every set of values, sign it, push and pull it, without a cluster
	@. tests/kube/env && PATH="$$bin:$$PATH" $(CHART_TEST) --kubernetes "$$KUBERNETES" --only rendered --only registry \
		--json $(CARGO_TARGET_DIR)/bench/chart-lint.json

chart-docs: chart-programs ## Write the chart's README from its values
	@. tests/kube/env && "$$bin/helm-docs" --log-level error --chart-search-root charts

# More versions: make chart-test KUBERNETES=v1.36.1 KUBERNETES_OLD= REPORT=target/bench/chart-1.36.json
REPORTS ?= $(wildcard $(CARGO_TARGET_DIR)/bench/chart*.json)

chart-versions: setup-build ## Write the table of tried versions in docs/kubernetes.md from reports of chart-test (REPORTS=files)
	@$(BUILD)
	@$(CHART_TEST) versions $(REPORTS)

chart-test: chart-programs ## Test the chart on a cluster of three nodes on this machine (root; KUBERNETES=v1.37.2, KEEP=1, ONLY=part, REPORT=file)
	@rm -rf $(CHART_IMAGES)
	@$(STEP) chart-images $(PACKAGING_OF_TESTS) images --quick --programs $(CARGO_TARGET_DIR)/debug \
		--registry foghorn.test --tag test --out $(CHART_IMAGES)
	@$(if $(KUBERNETES_OLD),$(if $(ONLY),,KUBERNETES=$(KUBERNETES_OLD) $(STEP) kube-tools-old tests/kube/tools api))
	@$(if $(KUBERNETES_OLD),$(if $(ONLY),,KUBERNETES=$(KUBERNETES_OLD) $(STEP) chart-old tests/kube/with --nodes 0 \
		$(CHART_TEST) --only accepted --json $(CARGO_TARGET_DIR)/bench/chart-old.json))
	@$(STEP) chart tests/kube/with --images $(CHART_IMAGES) $(CHART_TEST) $(addprefix --only ,$(ONLY)) \
		$(if $(REPORT),--json $(REPORT))

bench-image: setup ## Compare capture and deploy with partclone, zstd and nginx (root)
	$(CARGO) build --locked --release --workspace --bins
	$(CARGO) run --locked --release -p foghorn-tests --bin bench-image

bench-rest: setup ## Measure the REST API on both engines, at 1,000 and 100,000 hosts (DURATION=15, CONNECTIONS=8)
	$(CARGO) build --locked --release -p foghorn-controller -p foghorn-tests --bins
	$(CARGO_TARGET_DIR)/release/bench-rest

bench-gateway: setup ## Measure devices that poll at their gateway, on both engines (DEVICES=10000, PERIOD=30, ROUNDS=4, BURST=15, CONNECTIONS=32)
	$(CARGO) build --locked --release -p foghorn-controller -p foghorn-tests --bins
	$(CARGO_TARGET_DIR)/release/bench-gateway

bench-multicast: setup ## Compare multicast with udpcast, UFTP and nginx on a LAN of namespaces (root; RUNS=5, PEER_RUNS=RUNS, MIB=256)
	$(CARGO) build --locked --release --workspace --bins
	$(CARGO_TARGET_DIR)/release/bench-multicast

bench-sources: setup ## Measure a deploy from one, two and three storage nodes at once on a LAN of namespaces (root; RUNS=3, MIB=384)
	$(CARGO) build --locked --release --workspace --bins
	$(CARGO_TARGET_DIR)/release/bench-sources

bench-failover: setup ## Kill, stop and hang controllers, and measure how long anybody notices (ROUNDS=10)
	$(CARGO) build --locked --release -p foghorn-controller -p foghorn-agent -p foghorn-tests --bins
	$(CARGO_TARGET_DIR)/release/bench-failover --rounds $${ROUNDS:-10}

bench-replication: setup ## Measure copies of images between two nodes at 1 Gbit/s, beside TCP (root; RUNS=3, MIB=1024)
	$(CARGO) build --locked --release --workspace --bins
	$(CARGO_TARGET_DIR)/release/bench-replication --runs $${RUNS:-3} --mib $${MIB:-1024}

bench-scale: setup ## Measure 1,000 agents, 100,000 hosts, 5,000 transfers, then 1,000,000 hosts (AGENTS=, HOSTS=, TRANSFERS=, MILLION=0)
	$(CARGO) build --locked --release -p foghorn-controller -p foghorn-tests --bins
	$(CARGO_TARGET_DIR)/release/bench-scale

sim: setup ## Simulate by seed: fleets (FLEETS=20000), multicast sessions (SEEDS=1000000, FROM=10000), then measure the promised numbers
	$(CARGO) test --locked --workspace --test fleet_sim -- --from $${FROM:-10000} --seeds $${FLEETS:-20000}
	$(CARGO) build --locked --release -p foghorn-sim
	$(CARGO_TARGET_DIR)/release/sim --from $${FROM:-10000} --seeds $${SEEDS:-1000000}
	$(CARGO_TARGET_DIR)/release/sim figures --json target/bench/sim.json

fuzz-disks: setup ## Capture and deploy random disks by seed, compare with independent tools (root; SEEDS=2000, FROM=0, JOBS=2, KEEP=1)
	$(BUILD)
	$(CARGO_TARGET_DIR)/debug/fuzz-disks --seeds $${SEEDS:-2000} --from $${FROM:-0} --jobs $${JOBS:-2} $${KEEP:+--keep}

soak: setup ## Everything at once: writers, transfers, strangers, kills, a full disk, an older backup, a wrong clock (root; MINUTES=10, SEED=1)
	$(BUILD)
	$(CARGO_TARGET_DIR)/debug/soak --seconds $$(($${MINUTES:-10} * 60)) --seed $${SEED:-1}

test-versions: setup ## Test this version beside an earlier one, each program in turn (PREVIOUS=commit, or a folder with programs)
	@$(BUILD) --tests
	.ci/versions "$(PREVIOUS)"

sagas: setup ## Every saga with a fault at each of its points (GROUPS=deploy,delete)
	@$(BUILD) --tests
	FOGHORN_SAGAS=$(GROUPS) $(CARGO) test --locked --workspace --test sagas -- --nocapture

chaos: setup ## Three controllers, etcd, two sites and a room, broken all the time by seed (root; MINUTES=10, SEED=1, CLIENTS=12)
	$(BUILD)
	$(CARGO_TARGET_DIR)/debug/chaos --seconds $$(($${MINUTES:-10} * 60)) --seed $${SEED:-1} --clients $${CLIENTS:-12} --json target/bench/chaos.json

chaos-old-bugs: setup ## Put five old bugs back, one after the other, and let chaos find them (root; an hour)
	tests/old-bugs/run

lint: setup $(CARGO_DENY) ## Formatting, clippy, docs, arrows between crates and modules, licences and bans
	@$(STEP) fmt $(CARGO) fmt --all --check
	@$(STEP) clippy $(CARGO) clippy --locked --workspace --all-targets --test fleet_sim -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(STEP) doc $(CARGO) doc --locked --workspace --no-deps
	@$(STEP) arrows $(CARGO) run --locked -q -p xtask -- deps
	@$(STEP) faults $(CARGO) run --locked -q -p xtask -- faults
	@$(STEP) deny $(CARGO_DENY) --locked check bans licenses sources

$(PYTHON_TOOLS): tests/python/requirements.txt | setup
	python3 -m venv $(VENV)
	@$(STEP) python $(VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/python/requirements.txt
	touch $@

$(DEBIAN): | setup
	@$(STEP) debian .ci/debian $@

# Not optimised: it runs for a second, and would be compiled for minutes.
$(CARGO_DENY):
	@$(STEP) cargo-deny $(CARGO) install --debug --locked cargo-deny --version $(CARGO_DENY_VERSION) \
		--root $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION)

fuzz: ## Fuzz the readers and decoders for a minute each (nightly Rust and cargo-fuzz)
	for target in $$($(CARGO) +nightly fuzz list); do $(CARGO) +nightly fuzz run "$$target" -- -max_total_time=60; done
