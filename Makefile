# Builds vmmload and puts it where programs, man, pkg-config and the shells find it:
#
#   make                                       builds it, as any user
#   make install [PREFIX=DIR] [DESTDIR=DIR]    installs what was built; PREFIX is /usr/local
#   make uninstall                             with the same variables: removes it
#   make deb                                   builds a Debian package in target/debian

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR ?= $(PREFIX)/share
MANDIR ?= $(DATADIR)/man
DOCDIR ?= $(DATADIR)/doc/vmmload
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
BASHDIR ?= $(DATADIR)/bash-completion/completions
ZSHDIR ?= $(DATADIR)/zsh/site-functions
FISHDIR ?= $(DATADIR)/fish/vendor_completions.d

CARGO ?= cargo
CARGOFLAGS ?= --locked
INSTALL ?= install
STRIP ?= strip
CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR

OUT := $(CARGO_TARGET_DIR)/release
SHARE := $(CARGO_TARGET_DIR)/share
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

BUILT := $(OUT)/vmmload $(OUT)/vmmload-observe $(OUT)/libvmmload_shim.so $(OUT)/libvmmload_consumer.so $(OUT)/libvmmload_consumer.a
PRINTED := $(SHARE)/vmmload.1 $(SHARE)/vmmload.bash $(SHARE)/_vmmload $(SHARE)/vmmload.fish
HEADERS := consumer-sdk/c/include/vmmload.h shim/guest/include/vmmload_guest.h
LICENCES ?= LICENSE-MIT LICENSE-APACHE

# Of the library: the number behind its name is VMMLOAD_ABI_MAJOR.
SONAME := libvmmload_consumer.so.1

INSTALLED = $(BINDIR)/vmmload $(BINDIR)/vmmload-observe $(LIBDIR)/libvmmload_shim.so $(LIBDIR)/$(SONAME) $(LIBDIR)/libvmmload_consumer.so \
	$(LIBDIR)/libvmmload_consumer.a $(PKGCONFIGDIR)/vmmload-consumer.pc \
	$(addprefix $(INCLUDEDIR)/,$(notdir $(HEADERS))) $(MANDIR)/man1/vmmload.1 \
	$(BASHDIR)/vmmload $(ZSHDIR)/_vmmload $(FISHDIR)/vmmload.fish \
	$(addprefix $(DOCDIR)/,$(LICENCES))

# Where a directory lies below the prefix, pkg-config is told so, and can then move all of them.
below_prefix = $(patsubst $(PREFIX)/%,$${prefix}/%,$(1))

.PHONY: all build install uninstall deb clean

all: build
	@$(MAKE) --no-print-directory $(PRINTED)

# One after the other, as everything else builds them: together they would be built with other features.
define compile
$(CARGO) build --release $(CARGOFLAGS) -p vmmload
$(CARGO) build --release $(CARGOFLAGS) -p vmmload-observe
$(CARGO) build --release $(CARGOFLAGS) -p vmmload-shim
$(CARGO) build --release $(CARGOFLAGS) -p vmmload-consumer-c
endef

build:
	$(compile)

# For `make install` without `make`: only what is missing is built, so that root builds nothing if a user has.
$(BUILT):
	$(compile)

$(SHARE)/vmmload.1: $(OUT)/vmmload
	@mkdir -p $(SHARE)
	$< man >$@

$(SHARE)/vmmload.bash: $(OUT)/vmmload
	@mkdir -p $(SHARE)
	$< completions bash >$@

$(SHARE)/_vmmload: $(OUT)/vmmload
	@mkdir -p $(SHARE)
	$< completions zsh >$@

$(SHARE)/vmmload.fish: $(OUT)/vmmload
	@mkdir -p $(SHARE)
	$< completions fish >$@

install: $(BUILT) $(PRINTED)
	$(INSTALL) -d $(sort $(addprefix $(DESTDIR),$(dir $(INSTALLED))))
	$(INSTALL) -m 755 -s --strip-program=$(STRIP) $(OUT)/vmmload $(DESTDIR)$(BINDIR)/vmmload
	$(INSTALL) -m 755 -s --strip-program=$(STRIP) $(OUT)/vmmload-observe $(DESTDIR)$(BINDIR)/vmmload-observe
	$(INSTALL) -m 644 -s --strip-program=$(STRIP) $(OUT)/libvmmload_shim.so $(DESTDIR)$(LIBDIR)/libvmmload_shim.so
	$(INSTALL) -m 644 -s --strip-program=$(STRIP) $(OUT)/libvmmload_consumer.so $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libvmmload_consumer.so
	$(INSTALL) -m 644 $(OUT)/libvmmload_consumer.a $(DESTDIR)$(LIBDIR)/libvmmload_consumer.a
	$(STRIP) --strip-debug $(DESTDIR)$(LIBDIR)/libvmmload_consumer.a
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' \
		-e 's|^includedir=.*|includedir=$(call below_prefix,$(INCLUDEDIR))|' \
		-e 's|^libdir=.*|libdir=$(call below_prefix,$(LIBDIR))|' \
		consumer-sdk/c/vmmload-consumer.pc.in >$(DESTDIR)$(PKGCONFIGDIR)/vmmload-consumer.pc
	chmod 644 $(DESTDIR)$(PKGCONFIGDIR)/vmmload-consumer.pc
	$(INSTALL) -m 644 $(HEADERS) $(DESTDIR)$(INCLUDEDIR)
	$(INSTALL) -m 644 $(SHARE)/vmmload.1 $(DESTDIR)$(MANDIR)/man1/vmmload.1
	$(INSTALL) -m 644 $(SHARE)/vmmload.bash $(DESTDIR)$(BASHDIR)/vmmload
	$(INSTALL) -m 644 $(SHARE)/_vmmload $(DESTDIR)$(ZSHDIR)/_vmmload
	$(INSTALL) -m 644 $(SHARE)/vmmload.fish $(DESTDIR)$(FISHDIR)/vmmload.fish
	$(if $(LICENCES),$(INSTALL) -m 644 $(LICENCES) $(DESTDIR)$(DOCDIR))
	@# The loader's list of libraries is this system's: not if they go elsewhere first.
	@if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ] && command -v ldconfig >/dev/null; then ldconfig; fi

uninstall:
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))
	@if [ -d $(DESTDIR)$(DOCDIR) ]; then rmdir --ignore-fail-on-non-empty $(DESTDIR)$(DOCDIR); fi

deb: $(BUILT) $(PRINTED)
	MAKE='$(MAKE)' VERSION='$(VERSION)' launcher/debian/build '$(CARGO_TARGET_DIR)/debian'

clean:
	$(CARGO) clean
