# lcpd. `make help` lists the targets. Every target installs what it misses and says so.
# Reference: scripts/packages.txt (Debian packages and why), docs/operations.md (installed files).
PREFIX ?= /usr
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
LIBDIR = $(PREFIX)/lib/lcpd
NATIVE = src/forwarding/native src/vpp/native
SOURCES := $(shell find src -name '*.ts')
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build packages-system ## FRR and BIRD over lcpd in namespaces, checked; KEEP=1 leaves it up
	@node --import tsx demo/main.ts up

.PHONY: demo-down
demo-down: node_modules/.stamp ## remove a demo that was kept
	@node --import tsx demo/main.ts down

.PHONY: build
build: native dist/.stamp ## compile everything: dist/ and build/

.PHONY: native
native: packages-build ## C: the embedded data plane, build/lcpfwd, liblcpfwd.so; VPP's memory, liblcpvpp.so
	@for each in $(NATIVE); do $(MAKE) --no-print-directory -C $$each || exit 1; done

.PHONY: test
test: build packages-root packages-vm packages-qemu ## lint, types, native, unit, system, vpp, vm and qemu tests; closes with the sum
	@scripts/test-all lint typecheck native unit node24 system vpp vm qemu

.PHONY: test-unit
test-unit: build ## the unit level (vitest); needs no root
	@scripts/test-all unit

.PHONY: test-node24
test-node24: build ## the unit level on Node.js 24
	@scripts/test-all node24

.PHONY: test-system
test-system: build packages-root ## the system level (tap; root); FILES="test/system/pairs.tap.ts" picks
	@scripts/test-all system

.PHONY: test-vpp
test-vpp: build packages-root ## the level with a real VPP, in VPP_PREFIX or installed (root); FILES picks
	@scripts/test-all vpp

.PHONY: test-vm
test-vm: build packages-root packages-vm ## tap files on a kernel that has everything, user-mode-linux (root); FILES picks
	@scripts/test-all vm

.PHONY: test-qemu
test-qemu: build packages-root packages-qemu ## VPP with real linux_cp pairs, on a kernel with vhost-net (root, a VPP); FILES picks
	@scripts/test-all qemu

.PHONY: test-native
test-native: packages-build ## the C library under the address and undefined-behaviour sanitizers
	@scripts/test-all native

.PHONY: bench
bench: build packages-root ## the figures, as ratios of one run
	@node --import tsx bench/main.ts

.PHONY: lint
lint: node_modules/.stamp ## style, suspicious code, types
	@npx --no-install biome check .
	@npx --no-install tsc -p tsconfig.json --noEmit

.PHONY: format
format: node_modules/.stamp ## rewrite the sources in the house style
	@npx --no-install biome check --write .

.PHONY: clean
clean: ## remove what was built; node_modules stays
	rm -rf dist build coverage .tap
	@for each in $(NATIVE); do $(MAKE) --no-print-directory -C $$each clean || exit 1; done

.PHONY: install
install: build ## into DESTDIR: /usr/lib/lcpd, lcpd, lcpctl, the systemd unit, /etc/lcpd
	install -d $(DESTDIR)$(LIBDIR) $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin \
	  $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSCONFDIR)/lcpd $(DESTDIR)$(PREFIX)/share/doc/lcpd
	rm -rf $(DESTDIR)$(LIBDIR)/dist $(DESTDIR)$(LIBDIR)/node_modules
	cp -R dist $(DESTDIR)$(LIBDIR)/
	rm -f $(DESTDIR)$(LIBDIR)/dist/.stamp
	install -D -m 0755 build/lcpfwd $(DESTDIR)$(LIBDIR)/build/lcpfwd
	install -D -m 0755 build/liblcpfwd.so $(DESTDIR)$(LIBDIR)/build/liblcpfwd.so
	install -D -m 0755 build/liblcpvpp.so $(DESTDIR)$(LIBDIR)/build/liblcpvpp.so
	install -m 0644 package.json package-lock.json LICENSE $(DESTDIR)$(LIBDIR)/
	cd $(DESTDIR)$(LIBDIR) && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null
	chmod 0755 $(DESTDIR)$(LIBDIR)/dist/main.js $(DESTDIR)$(LIBDIR)/dist/cli/main.js
	ln -sf $(LIBDIR)/dist/main.js $(DESTDIR)$(PREFIX)/sbin/lcpd
	ln -sf $(LIBDIR)/dist/cli/main.js $(DESTDIR)$(PREFIX)/bin/lcpctl
	sed 's,/usr/lib/lcpd,$(LIBDIR),' systemd/lcpd.service >$(DESTDIR)$(UNITDIR)/lcpd.service
	install -m 0644 README.md docs/operations.md config/lcpd.full.yaml $(DESTDIR)$(PREFIX)/share/doc/lcpd/
	# Configuration of the operator is never overwritten.
	test -e $(DESTDIR)$(SYSCONFDIR)/lcpd/lcpd.env || install -m 0644 systemd/lcpd.env $(DESTDIR)$(SYSCONFDIR)/lcpd/
	test -e $(DESTDIR)$(SYSCONFDIR)/lcpd/lcpd.yaml || install -m 0644 config/lcpd.yaml $(DESTDIR)$(SYSCONFDIR)/lcpd/

.PHONY: packages-build packages-system packages-root packages-vm packages-qemu
packages-build:
	@scripts/install-packages build
packages-system:
	@scripts/install-packages build system
# The system level runs only as root: others need not have its packages.
packages-root:
	@if [ "$$(id -u)" = 0 ]; then scripts/install-packages build system; fi

packages-vm:
	@if [ "$$(id -u)" = 0 ]; then scripts/install-packages vm; fi
# Without a VPP there is nothing to run in it.
packages-qemu:
	@if [ "$$(id -u)" = 0 ] && [ -n "$(wildcard $(addsuffix /bin/vpp,$(or $(VPP_PREFIX),/usr /usr/local)))" ]; then scripts/install-packages vm qemu; fi

# Again only when the lock file changed. node-gyp needs the compiler.
node_modules/.stamp: package-lock.json scripts/install-modules | packages-build
	@scripts/install-modules
	@touch $@

dist/.stamp: node_modules/.stamp tsconfig.json tsconfig.build.json $(SOURCES)
	@rm -rf dist
	npx --no-install tsc -p tsconfig.build.json
	@touch $@
