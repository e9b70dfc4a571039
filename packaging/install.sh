#!/bin/sh
# Install, upgrade or remove CropLiq Edge on a device. Run it again at any time: it changes only
# what differs, and a cut in the middle leaves what was there before in use.
#
#   sudo ./install.sh [OPTIONS]            install or upgrade; services that run are restarted
#     --python PYTHON    the interpreter to use (python3)
#     --key FILE.pub     the archive must be signed with this key; for the first installation
#     --key-id ID        the same by the id that `edge-deploy keygen` printed
#     --unsigned         take an unsigned archive although this device trusts keys
#     --drop-extras      camera libraries and plug-ins that this archive does not bring go
#   sudo /opt/cropliq-edge/install.sh --archive FILE.tar [OPTIONS]
#                                          upgrade: nothing of the archive runs before its
#                                          signature has been checked with this device's keys
#   sudo ./install.sh --uninstall          remove it; configuration, alerts and bundles stay
#   sudo ./install.sh --uninstall --purge  remove these too
set -eu
umask 022   # the services' accounts read what is made here, whatever the shell's own is

PREFIX=/opt/cropliq-edge          # releases/ID holds a virtual environment, venv points to one
CONFIG=/etc/cropliq-edge
UNITS=/etc/systemd/system
SERVICES="edge-app.service edge-app-agent.service edge-app-page.service"
JETSON_UNIT=$UNITS/edge-app.service.d/10-jetson.conf
GROUP=cropliq-edge                # of inspection and agent
PAGE=cropliq-edge-page            # the page's account: in none of the others' groups
PAGE_GROUP=$PAGE                  # its own
READERS=cropliq-edge-read         # may read evidence pictures
USERS="cropliq-edge-agent cropliq-edge"
PAGE_STATE=/var/lib/cropliq-edge-page   # its accounts and the settings of its last run
STATE="/var/lib/cropliq-edge /var/lib/cropliq-edge-agent $PAGE_STATE"
COMMAND=/usr/local/bin/edge-app
HERE=$(cd "$(dirname "$0")" && pwd)

say() { echo "install.sh: $*"; }
fail() { echo "install.sh: $*" >&2; exit 1; }
is_jetson() { [ -f /etc/nv_tegra_release ]; }
systemd_runs() { [ -d /run/systemd/system ]; }

main() {
    action=install purge=no python=python3 archive= key= key_id= unsigned=no drop_extras=no
    while [ $# -gt 0 ]; do
        case "$1" in
            --python) [ $# -ge 2 ] || fail "--python needs the interpreter's name or path"
                      python=$2; shift ;;
            --archive|--key|--key-id)
                [ $# -ge 2 ] || fail "$1 needs a value; see --help"
                case "$1" in
                    --archive) archive=$2 ;;
                    --key) key=$2 ;;
                    *) key_id=$2 ;;
                esac
                shift ;;
            --unsigned) unsigned=yes ;;
            --drop-extras) drop_extras=yes ;;
            --uninstall) action=uninstall ;;
            --purge) purge=yes ;;
            -h|--help) sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p;}' "$0"; exit 0 ;;
            *) fail "unknown option $1; see --help" ;;
        esac
        shift
    done
    [ "$(id -u)" = 0 ] || fail "must run as root: sudo $0"
    [ "$action" = install ] || { uninstall "$purge"; exit 0; }
    check_archive
    if [ -n "$archive" ]; then
        set -- --python "$python"   # the archive's own script goes on: it knows its own layout
        [ -z "$key" ] || set -- "$@" --key "$key"
        [ -z "$key_id" ] || set -- "$@" --key-id "$key_id"
        [ "$unsigned" = no ] || set -- "$@" --unsigned
        [ "$drop_extras" = no ] || set -- "$@" --drop-extras
        sh "$HERE/install.sh" "$@"
        exit 0
    fi
    check_python
    choose_extras
    make_users
    make_environment
    make_configuration
    make_units
    tell_first_engineer
    say "done. Next: edit $CONFIG/edge-app.toml, then"
    say "  edge-app check-config $CONFIG/edge-app.toml && systemctl enable --now edge-app"
}

# Copy what SHA256SUMS lists, and nothing else, to where only root writes; check and use the copy.
check_archive() {
    stage=$(mktemp -d "${TMPDIR:-/var/tmp}/cropliq-edge.XXXXXX")
    # shellcheck disable=SC2064  # the folder as it is now
    trap "rm -rf '$stage'" EXIT
    if [ -n "$archive" ]; then
        mkdir "$stage/unpacked"
        tar --extract --file="$archive" --directory="$stage/unpacked" --no-same-owner \
            --no-same-permissions || fail "$archive is no archive of ours, or is cut off."
        HERE=$stage/unpacked/cropliq-edge-device
    fi
    copy_listed
    signature=$stage/listed/SHA256SUMS.sig
    [ ! -f "$HERE/SHA256SUMS.sig" ] || cp "$HERE/SHA256SUMS.sig" "$signature"
    check_signature
    HERE=$stage/listed
}

copy_listed() {
    sums=$HERE/SHA256SUMS
    [ -f "$sums" ] || fail "$HERE has no SHA256SUMS: it is no unpacked archive of ours."
    listed=$stage/listed
    mkdir "$listed"
    cp "$sums" "$listed/SHA256SUMS"
    # One form: digest, two blanks, a name below this folder.
    ! grep -Evq '^[0-9a-f]{64}  [A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*$' \
        "$listed/SHA256SUMS" || fail "SHA256SUMS is not of the form that edge-deploy writes."
    cut -c67- "$listed/SHA256SUMS" >"$stage/names"
    while read -r name; do
        mkdir -p "$listed/$(dirname "$name")"
        [ ! -f "$HERE/$name" ] || cp "$HERE/$name" "$listed/$name"
    done <"$stage/names"
    (cd "$listed" && sha256sum --check --quiet --strict SHA256SUMS) ||
        fail "the archive is damaged or incomplete; copy it again. Nothing was changed."
    printf '%s\n' SHA256SUMS SHA256SUMS.sig >>"$stage/names"
    (cd "$HERE" && find . ! -type d) | cut -c3- | grep -Fxv -f "$stage/names" >"$stage/others" || true
    [ ! -s "$stage/others" ] ||
        say "not used, because this archive does not list them (an older one's?):" \
            "$(tr '\n' ' ' <"$stage/others")"
}

# Who must have signed: the key that was named, else the keys this device trusts. A device without
# any (the first installation) takes what comes, says so, and trusts the archive's keys afterwards.
check_signature() {
    pinned=no
    for file in "$CONFIG"/trusted_keys/*.pub; do [ ! -f "$file" ] || pinned=yes; done
    if [ ! -f "$signature" ]; then
        [ -z "$key$key_id" ] || fail "the archive is not signed. Nothing was changed."
        [ "$pinned" = no ] || [ "$unsigned" = yes ] || is_in_use || fail "the archive is not signed, and this" \
            "device trusts keys ($CONFIG/trusted_keys). Make it with edge-deploy package" \
            "--sign-with KEY, or say --unsigned. Nothing was changed."
        say "the archive is not signed: nothing proves who made it"
        return 0
    fi
    command -v openssl >/dev/null ||
        fail "the archive's signature cannot be checked: apt-get install openssl. Nothing was changed."
    if [ -n "$key" ]; then
        [ -f "$key" ] || fail "--key $key is no file."
        set -- "$key"
    elif [ -n "$key_id" ] || [ "$pinned" = no ]; then
        set -- "$stage"/listed/trusted_keys/*.pub
    else
        set -- "$CONFIG"/trusted_keys/*.pub
    fi
    for file in "$@"; do
        if has_signed "$file"; then
            say "signed with the key $(basename "$file" .pub) ($(id_of "$file"))"
            [ "$pinned$key$key_id" != no ] ||
                say "compare this id with the one of edge-deploy keygen: no key was named"
            return 0
        fi
    done
    fail "the archive is not signed with a key that counts here (${key:-${key_id:-$CONFIG/trusted_keys}})." \
         "Copy it again, or name the signer's key with --key. Nothing was changed."
}

# The archive of the release in use: to run it again brings nothing new.
is_in_use() { cmp -s "$stage/listed/SHA256SUMS" "$PREFIX/venv/SHA256SUMS"; }

# sha256 of the key's PEM, as edge-deploy and bundle.sig name it.
id_of() { sed -n '/-----BEGIN/,/-----END/p' "$1" | sha256sum | cut -c1-64; }

# $1: a public key. Revoked and expired ones sign nothing here.
has_signed() {
    [ -f "$1" ] || return 1
    id=$(id_of "$1")
    [ -z "$key_id" ] || [ "$id" = "$key_id" ] || return 1
    ! grep -qs "^$id" "$CONFIG/trusted_keys/revoked.txt" "$stage/listed/trusted_keys/revoked.txt" ||
        return 1
    ends=$(sed -n 's/^expires:[ \t]*\([^ \t]*\)[ \t]*$/\1/p' "$1")
    if [ -n "$ends" ]; then
        ends_s=$(date -u -d "$ends" +%s) || return 1
        [ "$(date +%s)" -lt "$ends_s" ] || return 1
    fi
    sed -n '/-----BEGIN/,/-----END/p' "$1" >"$stage/key.pem"
    openssl dgst -sha256 -verify "$stage/key.pem" -signature "$signature" \
        "$stage/listed/SHA256SUMS" >/dev/null 2>&1
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

# What the release in use has and the archive does not bring: an upgrade takes no camera away.
choose_extras() {
    kept=
    old=$PREFIX/venv/bin/python
    [ "$drop_extras" = no ] && [ -x "$old" ] || return 0
    for extra in $("$old" "$HERE/keep_extras.py" list); do
        grep -qx "$extra" "$HERE/EXTRAS" || kept="$kept $extra"
    done
    [ -n "$kept" ] || return 0
    version='import sys; print(sys.version_info[:2])'
    [ "$("$old" -c "$version")" = "$("$python" -c "$version")" ] ||
        fail "the libraries of$kept are for the Python of the release in use. Package again with" \
             "--extras, or say --drop-extras. Nothing was changed."
    say "kept from the release in use:$kept (edge-deploy package --extras brings newer ones)"
}

make_environment() {
    id=$( (cat "$HERE/SHA256SUMS"; [ -z "$kept" ] || echo "$kept") | sha256sum | cut -c1-16)
    release=$PREFIX/releases/$id
    if [ -f "$release/complete" ] && "$release/bin/edge-app" --help >/dev/null 2>&1; then
        say "release $id is installed already"
    else
        fill_environment
    fi
    # What an earlier installation under another umask has left shut.
    chmod 0755 "$PREFIX" "$PREFIX/releases"
    chmod -R u+rwX,go+rX "$release"
    previous=$(readlink "$PREFIX/venv" || true)
    ln -sfn "releases/$id" "$PREFIX/venv.new"
    mv -T "$PREFIX/venv.new" "$PREFIX/venv"
    mkdir -p "$(dirname "$COMMAND")"
    ln -sfn "$PREFIX/venv/bin/edge-app" $COMMAND
    install -m 0755 "$HERE/install.sh" "$PREFIX/install.sh.new"
    mv "$PREFIX/install.sh.new" "$PREFIX/install.sh"
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
    # Every library by its digest; then our own wheel, whose digest SHA256SUMS has.
    # shellcheck disable=SC2086  # no words means no option
    "$release/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
        --root-user-action=ignore --no-compile $index --require-hashes \
        --requirement "$HERE/constraints.txt" &&
    "$release/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
        --root-user-action=ignore --no-compile --no-index --no-deps \
        "$HERE"/wheels/cropliq_edge_device-*.whl ||
        fail "installing the wheels failed, see above. Without a network, package with --offline."
    # shellcheck disable=SC2086  # one word an extra
    [ -z "$kept" ] || "$old" "$HERE/keep_extras.py" copy "$("$release/bin/python" -c \
        'import sysconfig; print(sysconfig.get_path("platlib"))')" $kept
    load_and_compile ||
        fail "the installed package does not load, see above. The services were left as they were."
    ! is_jetson || "$release/bin/python" -c 'import pycuda' 2>/dev/null ||
        say "the GPU is not used yet: pycuda is missing, see docs/tensorrt.md, \"First run\""
    cp "$HERE/SHA256SUMS" "$release/SHA256SUMS"
    sync -f "$release"
    touch "$release/complete"
}

# Shows that all libraries are there, and compiles what the services use of them and all of ours: the
# services may not write here, and would compile what is missing anew at every start. -I: whatever
# root's environment says of compiled modules (PYTHONDONTWRITEBYTECODE).
load_and_compile() {
    "$release/bin/python" -I -c 'import edge_app.app, edge_app.agent.main, edge_app.page.process
import cryptography.hazmat.primitives.serialization' &&
    "$release/bin/python" -I -m compileall -q "$("$release/bin/python" -I -c \
        'import edge_app; print(edge_app.__path__[0])')"
}

make_configuration() {
    install -d -m 0750 -o root -g $GROUP $CONFIG $CONFIG/trusted_keys
    install -d -m 0700 $CONFIG/credentials
    install -m 0640 -g $GROUP "$HERE/edge-app.example.toml" $CONFIG/
    [ -f $CONFIG/edge-app.toml ] ||
        install -m 0640 -g $GROUP "$HERE/edge-app.example.toml" $CONFIG/edge-app.toml
    for name in mqtt.password mqtt.key agent.password agent.key page.token page.key; do
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

# Until there is an engineer, nobody changes anything on the page: the old token only reads. Each run
# makes a new code and voids the one before.
tell_first_engineer() {
    install -d -m 0700 -o $PAGE -g $PAGE_GROUP "$PAGE_STATE"
    told=$("$release/bin/edge-app" users first-engineer --if-none --state "$PAGE_STATE") || return 0
    [ -n "$told" ] || return 0
    say "the page has no engineer yet: until then it only shows. docs/people.md"
    printf '%s\n' "$told"
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
