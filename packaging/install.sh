#!/bin/sh
# Install, upgrade or remove CropLiq Edge on a device. Run it again at any time: it changes only
# what differs, and a cut in the middle leaves what was there before in use.
#
#   sudo ./install.sh [--python PYTHON]    install or upgrade; services that run are restarted
#   sudo ./install.sh --uninstall          remove it; configuration, alerts and bundles stay
#   sudo ./install.sh --uninstall --purge  remove these too
set -eu

PREFIX=/opt/cropliq-edge          # releases/ID holds a virtual environment, venv points to one
CONFIG=/etc/cropliq-edge
UNITS=/etc/systemd/system
SERVICES="edge-app.service edge-app-agent.service edge-app-page.service"
JETSON_UNIT=$UNITS/edge-app.service.d/10-jetson.conf
GROUP=cropliq-edge                # of inspection and agent
PAGE=cropliq-edge-page            # the page's account and its own group: in none of the others
READERS=cropliq-edge-read         # may read evidence pictures
USERS="cropliq-edge-agent cropliq-edge"
STATE="/var/lib/cropliq-edge /var/lib/cropliq-edge-agent /var/lib/cropliq-edge-page"
COMMAND=/usr/local/bin/edge-app
HERE=$(cd "$(dirname "$0")" && pwd)

say() { echo "install.sh: $*"; }
fail() { echo "install.sh: $*" >&2; exit 1; }
is_jetson() { [ -f /etc/nv_tegra_release ]; }
systemd_runs() { [ -d /run/systemd/system ]; }

main() {
    action=install purge=no python=python3
    while [ $# -gt 0 ]; do
        case "$1" in
            --python) [ $# -ge 2 ] || fail "--python needs the interpreter's name or path"
                      python=$2; shift ;;
            --uninstall) action=uninstall ;;
            --purge) purge=yes ;;
            -h|--help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
            *) fail "unknown option $1; see --help" ;;
        esac
        shift
    done
    [ "$(id -u)" = 0 ] || fail "must run as root: sudo $0"
    [ "$action" = install ] || { uninstall "$purge"; exit 0; }
    check_archive
    check_python
    make_users
    make_environment
    make_configuration
    make_units
    say "done. Next: edit $CONFIG/edge-app.toml, then"
    say "  edge-app check-config $CONFIG/edge-app.toml && systemctl enable --now edge-app"
}

check_archive() {
    (cd "$HERE" && sha256sum --check --quiet --strict SHA256SUMS) ||
        fail "the archive is damaged or incomplete; copy it again. Nothing was changed."
}

check_python() {
    command -v "$python" >/dev/null || fail "there is no $python; apt-get install python3-venv"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "$($python --version) is too old, 3.10 is needed; name a newer one with --python"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python has no venv module; apt-get install python3-venv"
    [ -f "$HERE/OFFLINE" ] || return 0
    want=$(cat "$HERE/OFFLINE")
    got=$("$python" -c 'import platform, sys; print("python %d.%d" % sys.version_info[:2], platform.machine())')
    [ "$want" = "$got" ] ||
        fail "the wheels inside are for $want, this device has $got; package again with" \
             "--python and --platform to match. Nothing was changed."
}

make_users() {
    for group in $GROUP $PAGE $READERS video render; do
        getent group "$group" >/dev/null || groupadd --system "$group"
    done
    for user in $USERS; do make_user "$user" $GROUP; done
    make_user $PAGE $PAGE
}

# $1: the account, $2: its group.
make_user() {
    id -u "$1" >/dev/null 2>&1 ||
        useradd --system --gid "$2" --no-create-home --home-dir /nonexistent \
                --shell /usr/sbin/nologin "$1"
}

make_environment() {
    id=$(sha256sum "$HERE/SHA256SUMS" | cut -c1-16)
    release=$PREFIX/releases/$id
    if [ -f "$release/complete" ] && "$release/bin/edge-app" --help >/dev/null 2>&1; then
        say "release $id is installed already"
    else
        fill_environment
    fi
    previous=$(readlink "$PREFIX/venv" || true)
    ln -sfn "releases/$id" "$PREFIX/venv.new"
    mv -T "$PREFIX/venv.new" "$PREFIX/venv"
    ln -sfn "$PREFIX/venv/bin/edge-app" $COMMAND
    for old in "$PREFIX"/releases/*; do
        case "$old" in "$release"|"$PREFIX/$previous") ;; *) rm -rf "$old" ;; esac
    done
}

fill_environment() {
    site= index=
    # A Jetson's TensorRT and GStreamer-OpenCV belong to the system's Python.
    ! is_jetson || site=--system-site-packages
    [ ! -f "$HERE/OFFLINE" ] || index="--no-index --find-links $HERE/wheels"
    rm -rf "$release"
    mkdir -p "$PREFIX/releases"
    "$python" -m venv $site "$release"
    # shellcheck disable=SC2086  # no words means no option
    "$release/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
        --root-user-action=ignore --no-compile $index --constraint "$HERE/constraints.txt" \
        "$HERE"/wheels/cropliq_edge_device-*.whl ||
        fail "installing the wheels failed, see above. Without a network, package with --offline."
    # Shows that all libraries are there, and compiles what the services use and nothing else.
    "$release/bin/python" -c 'import edge_app.app, edge_app.agent.main, edge_app.page.process' ||
        fail "the installed package does not load, see above. The services were left as they were."
    ! is_jetson || "$release/bin/python" -c 'import pycuda' 2>/dev/null ||
        say "the GPU is not used yet: pycuda is missing, see docs/tensorrt.md, \"First run\""
    sync -f "$release"
    touch "$release/complete"
}

make_configuration() {
    install -d -m 0750 -o root -g $GROUP $CONFIG $CONFIG/trusted_keys
    install -d -m 0700 $CONFIG/credentials
    install -m 0640 -g $GROUP "$HERE/edge-app.example.toml" $CONFIG/
    [ -f $CONFIG/edge-app.toml ] ||
        install -m 0640 -g $GROUP "$HERE/edge-app.example.toml" $CONFIG/edge-app.toml
    for name in mqtt.password mqtt.key agent.password agent.key page.token; do
        [ -f "$CONFIG/credentials/$name" ] || install -m 0600 /dev/null "$CONFIG/credentials/$name"
    done
    add_keys trusted_keys $CONFIG/trusted_keys
    [ ! -d "$HERE/operator_keys" ] || add_operators
}

# Operators' keys go where the configuration looks for them; whether it does is a person's choice.
add_operators() {
    named=$("$release/bin/python" -c 'import sys
from edge_app.config.load import tomllib
with open(sys.argv[1], "rb") as file:
    print(tomllib.load(file).get("agent", {}).get("operator_keys_dir", ""))' $CONFIG/edge-app.toml) ||
        fail "$CONFIG/edge-app.toml cannot be read, see above. Correct it and run this again."
    case "$named" in
        "") operators=$CONFIG/operator_keys ;;
        /*) operators=$named ;;
        *) operators=$CONFIG/$named ;;
    esac
    install -d -m 0750 -g $GROUP "$operators"
    add_keys operator_keys "$operators"
    [ -n "$named" ] ||
        say "operators' keys are in $operators; commands are taken once [agent] names it:" \
            "operator_keys_dir = \"$operators\""
}

# $1: folder in the archive, $2: on the device, which keeps the keys it has.
add_keys() {
    if [ -f "$HERE/$1/revoked.txt" ]; then   # first: a key that comes revoked counts at no moment
        touch "$2/revoked.txt"   # what was revoked once stays revoked
        sort -u "$HERE/$1/revoked.txt" "$2/revoked.txt" >"$2/revoked.txt.new"
        chmod 0640 "$2/revoked.txt.new" && chgrp $GROUP "$2/revoked.txt.new"
        mv "$2/revoked.txt.new" "$2/revoked.txt"
    fi
    for key in "$HERE/$1"/*.pub; do
        [ ! -f "$key" ] || install -m 0640 -g $GROUP "$key" "$2/"
    done
}

make_units() {
    for service in $SERVICES; do
        install -m 0644 "$HERE/systemd/$service" $UNITS/
    done
    if is_jetson; then
        install -D -m 0644 "$HERE/systemd/edge-app-jetson.conf" $JETSON_UNIT
    fi
    systemd_runs || return 0
    systemctl daemon-reload
    # shellcheck disable=SC2086
    systemctl try-restart $SERVICES
}

uninstall() {
    for service in $SERVICES; do
        [ ! -f "$UNITS/$service" ] || if systemd_runs; then
            systemctl disable --quiet --now "$service"
        else
            systemctl disable --quiet "$service"
        fi
        rm -f "$UNITS/$service"
    done
    rm -f $JETSON_UNIT
    ! systemd_runs || systemctl daemon-reload
    rm -rf $PREFIX
    [ ! -L $COMMAND ] || rm -f $COMMAND
    # shellcheck disable=SC2086
    if [ "$1" = yes ]; then
        rm -rf $CONFIG $STATE
        for user in $USERS $PAGE; do
            ! id -u "$user" >/dev/null 2>&1 || userdel "$user"
        done
        for group in $GROUP $PAGE $READERS; do
            ! getent group "$group" >/dev/null || groupdel "$group"
        done
        say "removed, with configuration, alerts and bundles"
    else
        say "removed; kept: $CONFIG $STATE (--purge removes them)"
    fi
}

main "$@"
