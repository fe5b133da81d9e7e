#!/usr/bin/env bash
#
# Install what building, the demo or the tests need and this machine lacks.
#
#   scripts/bootstrap.sh build|demo|kafka|test
#
#   build   compiler, pkg-config, headers of PostgreSQL, librdkafka, hiredis, simdjson
#   demo    build, and the PostgreSQL and Redis servers
#   kafka   demo, and Java and Maven for Apache Kafka
#   test    kafka, and what the tests use
#
# Nothing that runs here is touched, and nothing is left running: while packages
# are installed no service is started and no PostgreSQL cluster made, and a
# Redis service that came with this installation is disabled.  When all is there
# this takes a twentieth of a second.  TOPK_SKIP_BOOTSTRAP=1 skips it.
set -euo pipefail

policy=/usr/sbin/policy-rc.d
cluster_policy=/etc/postgresql-common/createcluster.d/topk-bootstrap.conf

say()
{
    echo "==> $*" >&2
}

die()
{
    echo "bootstrap: $*" >&2
    exit 1
}

# ---- what is needed ----

# The PostgreSQL to build for: the one whose headers are here, else the distribution's own.
postgresql_major()
{
    local major

    for config in "${PG_CONFIG:-}" pg_config
    do
        [ -n "$config" ] || continue
        major=$("$config" --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p')
        [ -z "$major" ] || break
    done
    if [ -z "$major" ]
    then
        major=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1)
    fi
    echo "${major:-15}"
}

# The newest Java that this distribution has of those that Kafka runs on.
java_package()
{
    local version

    for version in 17 21 25
    do
        if dpkg-query -s "openjdk-$version-jre-headless" >/dev/null 2>&1 ||
            apt-cache policy "openjdk-$version-jre-headless" 2>/dev/null |
                grep 'Candidate: [0-9]' >/dev/null
        then
            echo "openjdk-$version-jre-headless"
            return
        fi
    done
    echo default-jre-headless
}

packages_for()
{
    local tier=$1 major=$2

    echo build-essential pkg-config "postgresql-server-dev-$major" librdkafka-dev libhiredis-dev libsimdjson-dev
    [ "$tier" != build ] || return 0
    echo "postgresql-$major" redis-server procps util-linux
    [ "$tier" != demo ] || return 0
    echo "$(java_package)" maven kcat
    [ "$tier" != kafka ] || return 0
    echo perl libipc-run-perl libtap-parser-sourcehandler-pgtap-perl "postgresql-$major-pgtap" python3 python3-venv \
        clang clang-format libclang-rt-dev valgrind iproute2
}

# Those of the packages named that are not installed.
missing_of()
{
    local present

    present=" $(dpkg-query -W -f '${db:Status-Status}:${Package} ' "$@" 2>/dev/null || true)"
    for package in "$@"
    do
        case $present in
            *" installed:$package "*) ;;
            *) echo "$package" ;;
        esac
    done
}

# ---- installing ----

as_root()
{
    if [ "$(id -u)" -eq 0 ]
    then
        "$@"
    else
        sudo "$@"
    fi
}

check_may_install()
{
    command -v apt-get >/dev/null ||
        die "this is no Debian-like system; install what corresponds to: $*
bootstrap: then set TOPK_SKIP_BOOTSTRAP=1"
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
        die "these packages are missing: $*
bootstrap: run it as root, or install sudo, or have them installed"
}

forbid_services()
{
    made_policy=
    if [ ! -e "$policy" ]
    then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        made_policy=1
    fi
    as_root mkdir -p "$(dirname "$cluster_policy")"
    echo 'create_main_cluster = false' | as_root tee "$cluster_policy" >/dev/null
    trap allow_services EXIT
}

allow_services()
{
    [ -z "$made_policy" ] || as_root rm -f "$policy"
    as_root rm -f "$cluster_policy"
}

install_packages()
{
    local log

    log=$(mktemp)
    say "installing with apt: $*"
    if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >"$log" 2>&1 </dev/null
    then
        tail -n 20 "$log" >&2
        die "apt-get install failed; its whole output is in $log"
    fi
    rm -f "$log"
}

# A Redis of the distribution's that was not there before is not to start with the machine.
disable_redis()
{
    as_root update-rc.d redis-server disable >/dev/null 2>&1 || true
}

main()
{
    local tier=${1:-} needed missing

    case $tier in
        build|demo|kafka|test) ;;
        *) die "which tier? build, demo, kafka or test" ;;
    esac
    [ -z "${TOPK_SKIP_BOOTSTRAP:-}" ] || return 0
    # one word a package
    # shellcheck disable=SC2046
    command -v dpkg-query >/dev/null || check_may_install $(packages_for "$tier" 15)

    needed=$(packages_for "$tier" "$(postgresql_major)")
    missing=$(missing_of $needed)
    [ -n "$missing" ] || return 0

    check_may_install $missing
    say "reading the list of packages"
    as_root apt-get update -q >/dev/null || die "apt-get update failed"

    # Only now is it known which versions the distribution has.
    needed=$(packages_for "$tier" "$(postgresql_major)")
    missing=$(missing_of $needed)
    forbid_services
    install_packages $missing
    case " $(echo $missing) " in
        *' redis-server '*) disable_redis ;;
    esac
    say "installed"
}

main "$@"
