#!/bin/sh
# Installs what a fresh Debian or Ubuntu lacks: setup.sh run|test|bench
# Does nothing, and needs no network, where everything is there already.
set -eu

purpose=${1:-}
case $purpose in
run | test | bench) ;;
*)
    echo "usage: xtask/setup.sh run|test|bench" >&2
    exit 2
    ;;
esac

say() { echo "setup: $*"; }
fail() {
    echo "setup: $*" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
postgres_installed() { ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        fail "needs root or sudo for: $*"
    fi
}

missing=
need() { missing="$missing $*"; }

# SQLite, the allocator and the TLS library are C, compiled with the project.
if ! has cc || [ ! -e /usr/include/stdio.h ]; then need gcc libc6-dev; fi
# tidy asks git which files belong to the project.
if [ "$purpose" != run ] && ! has git; then need git; fi
# The walks of the documentation are typed with it.
if [ "$purpose" = test ] && ! has curl; then need curl ca-certificates; fi
if [ "$purpose" = test ] && ! has openssl; then need openssl; fi
# What asks Stripe is tested against Stripe's own stand-in, a Go program.
stripe_mock=${CAUDAL_TEST_STRIPE_MOCK:-}
lacks_stripe_mock() { [ -n "$stripe_mock" ] && [ ! -x "$stripe_mock" ]; }
if [ "$purpose" = test ] && lacks_stripe_mock && ! has go; then need golang-go; fi
# The testbed's own server; pgbench comes with it. CAUDAL_TEST_POSTGRES_BIN names another one.
if [ "$purpose" != run ] && [ -z "${CAUDAL_TEST_POSTGRES_BIN:-}" ] && ! postgres_installed; then
    need postgresql
fi

if [ -n "$missing" ]; then
    has apt-get || fail "install these with your package manager:$missing"
    say "installing$missing"
    # Debian makes and starts a cluster of its own with the package. The testbed has its own and
    # the machine's port 5432 is not ours; the setting goes away again after the installation.
    no_cluster=/etc/postgresql-common/createcluster.d/caudal.conf
    case $missing in
    *postgresql*)
        as_root mkdir -p "${no_cluster%/*}"
        echo "create_main_cluster = false" | as_root tee "$no_cluster" >/dev/null
        trap 'as_root rm -f "$no_cluster"' EXIT
        ;;
    esac
    as_root apt-get update -q
    # shellcheck disable=SC2086 # one word a package
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qy --no-install-recommends $missing
fi

if ! has cargo; then
    fail "Rust is missing: install it from https://rustup.rs and run this again"
fi
if [ "$purpose" = test ] && has rustup; then
    cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
    cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
fi

if [ "$purpose" = test ] && lacks_stripe_mock; then
    say "installing stripe-mock"
    # Without it one suite is skipped and says so: no reason to run none.
    GOBIN=${stripe_mock%/*} go install github.com/stripe/stripe-mock@v0.203.0 ||
        say "stripe-mock could not be installed; the shapes of Stripe are not tested"
fi
