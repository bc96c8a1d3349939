#!/bin/sh
# Installs Trousseau on this node from the bundle that this file lies in, without a network.
# README.md beside it says how to get the key that everything is verified with.
set -eu
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
umask 022

usage() {
  cat <<'END'
Usage: ./install.sh --key FILE --config FILE [options]
       ./install.sh --undo [--force]

  --key FILE            public key of the bundle's makers, from elsewhere than this bundle
  --config FILE         Trousseau's config (default: what is installed already)
  --as KIND             static-pod or systemd (default: systemd on k3s, static-pod elsewhere)
  --runtime NAME        containerd, crio, k3s or rke2 (default: the one that is found)
  --pod-manifests DIR   where the kubelet looks for static pods
  --user UID            numeric user and group of the plugin (default: 65532; 0 is root)
  --selinux-type TYPE   SELinux type of the pod, such as spc_t: docs/selinux.md
  --root DIR            put the files below DIR and start nothing; containerd and CRI-O are asked as ever
  --dry-run             verify, say what would be done, and do nothing
  --undo                take back the newest installation; once more, the one before it
  --force               with --undo: although the API server is still told to use the plugin
END
}

die() {
  echo "install.sh: $*" >&2
  exit 1
}

key='' config='' as='' runtime='' pods='' user=65532 type='' root='' dry=false undo=false force=false
while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) dry=true ;;
    --undo) undo=true ;;
    --force) force=true ;;
    -h | --help) usage && exit 0 ;;
    --key | --config | --as | --runtime | --pod-manifests | --user | --selinux-type | --root)
      if [ $# -lt 2 ] || [ -z "$2" ]; then die "$1 wants a value; --help lists the options"; fi
      case $1 in
        --key) key=$2 ;;
        --config) config=$2 ;;
        --as) as=$2 ;;
        --runtime) runtime=$2 ;;
        --pod-manifests) pods=$2 ;;
        --user) user=$2 ;;
        --selinux-type) type=$2 ;;
        --root) root=${2%/} ;;
      esac
      shift
      ;;
    *) die "There is no option $1; --help lists them" ;;
  esac
  shift
done
case $user in '' | *[!0-9]*) die "--user wants a numeric user id, not $user" ;; esac
case $as in '' | static-pod | systemd) ;; *) die "--as is static-pod or systemd, not $as" ;; esac
case $runtime in '' | containerd | crio | k3s | rke2) ;; *) die "--runtime is containerd, crio, k3s or rke2, not $runtime" ;; esac
[ -z "$root" ] || [ -d "$root" ] || die "There is no folder $root"

absolute() {
  case $1 in '' | /*) printf %s "$1" ;; *) printf %s "$PWD/$1" ;; esac
}
key=$(absolute "$key") config=$(absolute "$config") root=$(absolute "$root")

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
# Not in a folder that the plugin may write to: what stands here is undone by root.
records=/var/lib/trousseau-install

need() {
  for tool in "$@"; do
    command -v "$tool" >/dev/null || die "$tool is not on the PATH, and is needed"
  done
}

hash_of() {
  sha256sum <"$1" | cut -c1-64
}

# ---- What is verified, before anything is touched

verify() {
  need openssl sha256sum find sort cmp
  [ -n "$key" ] || die "--key is missing: the public key of the bundle's makers"
  [ -r "$key" ] || die "Cannot read the key $key"
  cd "$here"
  if [ ! -f SHA256SUMS ] || [ ! -f SHA256SUMS.sig ]; then die "SHA256SUMS or SHA256SUMS.sig is missing: unpack the bundle anew"; fi
  openssl base64 -d -A -in SHA256SUMS.sig -out "$work/signature" 2>/dev/null || : >"$work/signature"
  [ "$(openssl base64 -A -in "$work/signature")" = "$(cat SHA256SUMS.sig)" ] ||
    die "SHA256SUMS.sig is damaged: nothing was installed. Unpack the bundle anew"
  openssl dgst -sha256 -verify "$key" -signature "$work/signature" SHA256SUMS >/dev/null 2>&1 ||
    die "SHA256SUMS is NOT what was signed, or was signed with another key: nothing was installed. Fetch the bundle anew, and the key from its makers"
  { cut -c67- SHA256SUMS && printf '%s\n' SHA256SUMS SHA256SUMS.sig; } | LC_ALL=C sort >"$work/listed"
  find . ! -type d | sed 's|^\./||' | LC_ALL=C sort >"$work/present"
  if ! cmp -s "$work/listed" "$work/present" || [ -n "$(find . ! -type d ! -type f)" ]; then
    die "There are other files here than were signed: nothing was installed. Unpack the bundle anew, into an empty folder"
  fi
  sha256sum --check --strict --quiet SHA256SUMS >&2 ||
    die "The files above are NOT what was signed: nothing was installed. Unpack the bundle anew"
  echo "verified  $(wc -l <SHA256SUMS) files, signed with the key in $key"
}

# ---- What is done: each step is recorded before it happens, so that it can be undone

record=''
steps=0

note() {
  printf '%s\n' "$*" >>"$record/steps"
}

begin_record() {
  $dry && return
  mkdir -p "$root$(dirname "$records")"
  [ -d "$root$records" ] || mkdir -m 0700 "$root$records"
  number=1
  while ! mkdir -m 0700 "$root$records/$number" 2>/dev/null; do
    [ -d "$root$records/$number" ] || die "Cannot make $root$records/$number"
    number=$((number + 1))
  done
  record=$root$records/$number
  : >"$record/steps"
}

say() {
  printf '%-9s %s\n' "$1" "$2"
}

# parents PATH
parents() {
  above=$(dirname "$1")
  [ ! -d "$root$above" ] || return 0
  # In a shell of its own: it has no variables of its own.
  ( parents "$above" )
  note "folder $above"
  mkdir "$root$above"
}

# folder PATH MODE OWNER GROUP
folder() {
  if [ -d "$root$1" ]; then
    say same "$1/"
  else
    say create "$1/ (mode $2, $3:$4)"
    $dry && return
    parents "$1"
    note "folder $1"
    mkdir "$root$1"
  fi
  $dry && return
  chown "$3:$4" "$root$1" && chmod "$2" "$root$1"
}

# As tmpfiles.d does at a boot: what the operator put in place as root, the plugin may read. Not undone.
hand_over() {
  while read -r type path mode owner group; do
    if [ "$type" != z ] || [ ! -e "$root$path" ] || [ -L "$root$path" ]; then continue; fi
    case $owner in root) owner=0 ;; esac
    # "~" gives no file the right to be run.
    if [ -f "$root$path" ]; then case $mode in '~0750') mode=0640 ;; esac; fi
    mode=${mode#'~'}
    [ "$(stat -c '%u:%g %a' "$root$path")" != "$owner:$group ${mode#0}" ] || continue
    say own "$path (mode $mode, $owner:$group)"
    $dry || { chown "$owner:$group" "$root$path" && chmod "$mode" "$root$path"; }
  done <"$work/tmpfiles/trousseau.tmpfiles.conf"
}

# put SOURCE PATH MODE GROUP
put() {
  target=$root$2
  [ ! -d "$target" ] || die "$2 is a folder: wanted to put a file there"
  if [ -f "$target" ] && [ ! -L "$target" ] && cmp -s "$1" "$target"; then
    say same "$2"
    $dry && return
    chown "0:$4" "$target" && chmod "$3" "$target"
    return
  fi
  steps=$((steps + 1))
  if [ -e "$target" ] || [ -L "$target" ]; then
    say replace "$2 (mode $3, 0:$4)"
    $dry && return
    cp -a "$target" "$record/$steps"
    note "replaced $(hash_of "$1") $steps $2"
  else
    say create "$2 (mode $3, 0:$4)"
    $dry && return
    parents "$2"
    note "created $(hash_of "$1") $2"
  fi
  # The kubelet passes over names with a dot, and sees the whole file or none.
  draft=$(dirname "$target")/.trousseau-install.$$
  install -m "$3" -o 0 -g "$4" "$1" "$draft"
  mv -f "$draft" "$target"
}

load_image() {
  case $runtime in
    k3s | rke2)
      put "$here/images/trousseau-image.tar" "/var/lib/rancher/$runtime/agent/images/trousseau-$version.tar" 0644 0
      say note "$runtime imports the image at its next start"
      return
      ;;
    crio)
      printf '[crio.image]\npinned_images = ["%s"]\n' "$image" >"$work/crio.conf"
      put "$work/crio.conf" /etc/crio/crio.conf.d/50-trousseau.conf 0644 0
      ;;
  esac
  say load "image $image into $runtime"
  $dry && return
  case $runtime in
    containerd)
      ctr --namespace k8s.io images ls -q >"$work/images"
      grep -qxF "$image" "$work/images" || note "image containerd $image"
      ctr --namespace k8s.io images import "$here/images/trousseau-image.tar" >/dev/null
      # Otherwise the kubelet may remove it when the disk is full, and a node without a registry is lost.
      ctr version | sed -n '/^Server/,$ s/^ *Version: *v\{0,1\}\([0-9.]*\).*/\1/p' >"$work/containerd"
      case $(cat "$work/containerd") in
        1.[0-6].*) say hint "containerd before 1.7 pins no image: with a full disk the kubelet may remove this one while its pod is down" ;;
      esac
      ctr --namespace k8s.io images label "$image" io.cri-containerd.pinned=pinned >/dev/null
      ;;
    crio)
      skopeo inspect "containers-storage:$image" >/dev/null 2>&1 || note "image crio $image"
      skopeo --insecure-policy copy --quiet "oci-archive:$here/images/trousseau-image.tar" "containers-storage:$image"
      ;;
  esac
}

runs_here() {
  [ -z "$root" ] && ! $dry
}

has_systemd() {
  runs_here && [ -d /run/systemd/system ]
}

# ---- SELinux: a label can be put right at any time, so nothing here ends an installation

has_selinux() {
  [ -e /sys/fs/selinux/enforce ]
}

has() {
  command -v "$1" >/dev/null
}

# mark TYPE PATTERN
mark() {
  if semanage fcontext -l -C 2>/dev/null | grep -F -- "$2 " | grep -qF -- ":$1:"; then
    say same "SELinux type of $2"
    return 0
  fi
  say label "$2 as $1"
  $dry && return
  note "fcontext $2"
  # Where the policy calls /run an alias of /var/run, it wants the other name.
  semanage fcontext -a -t "$1" "$2" 2>"$work/semanage" || semanage fcontext -a -t "$1" "/var$2" 2>/dev/null || {
    cat "$work/semanage" >&2
    say hint "The policy did not take it: docs/selinux.md"
  }
}

# Before anything starts: the folders get their types, and what was put in place the label that the policy has for it.
label_files() {
  has_selinux || return 0
  if [ -n "$root" ]; then
    say hint "SELinux: nothing below $root was labelled; restorecon does it on the node"
    return 0
  fi
  sed -n "s/^# *semanage fcontext -a -t \([^ ]*\) '\(.*\)'\$/\1 \2/p" "$work/tmpfiles/trousseau.tmpfiles.conf" >"$work/labels"
  if [ ! -s "$work/labels" ]; then
    [ "$as" = systemd ] || say hint "SELinux: without --selinux-type the runtime chooses the pod's type, which may be denied its folders: docs/selinux.md"
  elif has semanage; then
    while read -r label path; do mark "$label" "$path"; done <"$work/labels"
  else
    say hint "SELinux: semanage is not on the PATH (policycoreutils-python-utils). Run on every node, then restorecon -R:"
    sed "s/^\([^ ]*\) \(.*\)/  semanage fcontext -a -t \1 '\2'/" "$work/labels"
  fi
  if ! has restorecon; then
    say hint "SELinux: restorecon is not on the PATH: labels stay as they are"
    return 0
  fi
  say label "what was put in place, as the policy says (restorecon)"
  $dry && return
  sed -n 's/^d \([^ ]*\) .*/\1/p' "$work/tmpfiles/trousseau.tmpfiles.conf" >"$work/labelled"
  printf '%s\n' /usr/local/bin/trousseau /etc/sysusers.d/trousseau.conf /etc/systemd/system/trousseau.service \
    /etc/tmpfiles.d/trousseau.conf >>"$work/labelled"
  while read -r path; do
    [ ! -e "$path" ] || restorecon -R "$path" || say hint "restorecon -R $path failed"
  done <"$work/labelled"
}

undo_label() {
  say remove "SELinux type of $1"
  $dry && return
  has semanage || return 0
  semanage fcontext -d "$1" 2>/dev/null || semanage fcontext -d "/var$1" 2>/dev/null || say gone "SELinux type of $1"
}

start_unit() {
  has_systemd || return 0
  systemd-sysusers /etc/sysusers.d/trousseau.conf
  systemctl daemon-reload
  systemctl is-enabled --quiet trousseau.service 2>/dev/null || note "enabled"
  systemctl enable --quiet trousseau.service
  systemctl restart trousseau.service
}

# serving: each process binds the socket anew, so this tells the one of before from the next
serving() {
  stat -c '%i %Z' "$root$socket" 2>/dev/null || true
}

# After an upgrade the kubelet lets the one of before serve for some seconds more, and it is not the one that must be well.
is_well() {
  [ "$as" = systemd ] || [ "$steps" = "$before" ] || [ "$(serving)" != "$served" ] || { echo 'the pod of before still serves' && return 1; }
  /usr/local/bin/trousseau status --socket "$socket"
}

wait_until_well() {
  runs_here || return 0
  waited=0
  until is_well >"$work/status" 2>&1; do
    waited=$((waited + 1))
    if [ $waited -gt 60 ]; then
      cat "$work/status" >&2
      die "Installed, but the plugin is not well after a minute. Its log says why: journalctl -u trousseau, or crictl logs"
    fi
    sleep 1
  done
  cat "$work/status"
}

find_runtime() {
  [ -z "$runtime" ] || return 0
  if [ -d "$root/etc/rancher/rke2" ]; then runtime=rke2
  elif [ -d "$root/etc/rancher/k3s" ]; then runtime=k3s
  elif [ -S "$root/run/crio/crio.sock" ]; then runtime=crio
  elif [ -S "$root/run/containerd/containerd.sock" ]; then runtime=containerd
  elif [ "$as" = systemd ]; then runtime=none
  else die "Found neither RKE2, k3s, CRI-O nor containerd on this node: say --runtime, or --as systemd"
  fi
}

read_plan() {
  case $(uname -m) in
    x86_64) binary=$here/bin/trousseau-linux-x64 ;;
    aarch64) binary=$here/bin/trousseau-linux-arm64 ;;
    *) die "There is no binary for $(uname -m): wanted x86_64 or aarch64" ;;
  esac
  "$binary" version >"$work/version" 2>&1 || {
    cat "$work/version" >&2
    die "The binary does not run here: it needs glibc 2.28 or later, libstdc++ and libatomic, and a file system without noexec"
  }
  version=$(cut -d' ' -f2 "$work/version")
  image=localhost/trousseau:$version
  find_runtime
  if [ -z "$as" ]; then
    as=static-pod
    [ "$runtime" != k3s ] || as=systemd
  fi
  if [ "$as" = systemd ] && [ -n "$type" ]; then die "--selinux-type is for the pod: systemd starts the unit, and its policy gives the type"; fi
  case $runtime in
    k3s | rke2) : "${pods:=/var/lib/rancher/$runtime/agent/pod-manifests}" ;;
    *) : "${pods:=/etc/kubernetes/manifests}" ;;
  esac
  if [ "$as" = static-pod ]; then
    case $runtime in
      containerd) need ctr ;;
      crio) need skopeo ;;
    esac
  fi
  : "${config:=$root/etc/trousseau/trousseau.yaml}"
  [ -r "$config" ] || die "Cannot read the config $config: --config names it"
  "$binary" config validate "$config" || die "The config is not valid: nothing was installed"
  for kind in "$as" tmpfiles encryption-config; do
    set -- manifests "$kind" --config "$config" --user "$user" --out "$work/$kind"
    case $type,$kind in
      ,*) ;;
      *,static-pod | *,tmpfiles) set -- "$@" --selinux-type "$type" ;;
    esac
    "$binary" "$@" >/dev/null
  done
  socket=$(sed -n 's|^ *endpoint: "\{0,1\}unix://\([^"]*\)"\{0,1\}.*$|\1|p' "$work/encryption-config"/*.yaml | head -n 1)
  [ -n "$socket" ] || die "Fault of the bundle: its manifests name no socket"
}

install_all() {
  begin_record
  if ! $dry; then note "socket $socket"; fi
  while read -r type path mode owner group; do
    if [ "$type" = d ]; then
      case $owner in root) owner=0 ;; esac
      folder "$path" "$mode" "$owner" "$group"
    fi
  done <"$work/tmpfiles/trousseau.tmpfiles.conf"
  put "$binary" /usr/local/bin/trousseau 0755 0
  put "$config" /etc/trousseau/trousseau.yaml 0640 "$user"
  hand_over
  if [ "$as" = systemd ]; then
    put "$work/systemd/trousseau.sysusers.conf" /etc/sysusers.d/trousseau.conf 0644 0
    put "$work/systemd/trousseau.service" /etc/systemd/system/trousseau.service 0644 0
    label_files
    start_unit
  else
    put "$work/tmpfiles/trousseau.tmpfiles.conf" /etc/tmpfiles.d/trousseau.conf 0644 0
    load_image
    label_files
    # Last: from here on the kubelet starts it.
    served=$(serving)
    before=$steps
    put "$work/static-pod/trousseau.yaml" "$pods/trousseau.yaml" 0600 0
  fi
  $dry && echo 'Nothing was done: --dry-run' && return
  if [ "$(wc -l <"$record/steps")" = 1 ]; then
    rm -rf "$record"
    echo 'Everything was as it should be already'
  fi
  wait_until_well
  echo "Installed. The API server does not use it yet: docs/runbooks/install.md in this bundle, from step 5. To take this back: $here/install.sh --undo${root:+ --root $root}"
}

# ---- Undo

recorded() {
  for each in "$root$records"/*; do
    if [ -f "$each/steps" ]; then basename "$each"; fi
  done | sort -n
}

# Without the plugin an API server that is told to use it cannot start.
check_unused() {
  socket=$(sed -n 's/^socket //p' "$record/steps")
  # With an older record the plugin stays, in the version of before.
  if $force || [ "$(recorded | wc -l)" -gt 1 ]; then return 0; fi
  users=$(grep -rlsF -- "unix://$socket" "$root/etc/kubernetes" "$root/etc/rancher" "$root"/var/lib/rancher/*/server/cred || true)
  [ -z "$users" ] || die "The API server is still told to use $socket:
$users
Without it no API server here can start. docs/runbooks/install.md, \"Going back\", says what comes first; --force does it all the same"
}

undo_file() {
  path=$root$2
  if [ ! -f "$path" ]; then
    say gone "$2"
  elif [ "$(hash_of "$path")" != "$1" ]; then
    say keep "$2: it was changed since"
    kept=true
  elif [ -n "${3:-}" ]; then
    say restore "$2"
    $dry || mv -f "$record/$3" "$path"
  else
    say remove "$2"
    $dry || rm -f "$path"
  fi
}

undo_image() {
  say remove "image $2 from $1"
  $dry && return
  case $1 in
    containerd) ctr --namespace k8s.io images rm "$2" >/dev/null ;;
    crio) skopeo --insecure-policy delete "containers-storage:$2" ;;
  esac || say keep "image $2: $1 would not"
}

undo_newest() {
  number=$(recorded | tail -n 1)
  [ -n "$number" ] || die "Nothing is recorded in $root$records: nothing to undo"
  record=$root$records/$number
  kept=false
  check_unused
  sed -n '1!G;h;$p' "$record/steps" >"$work/steps"
  while read -r step rest; do
    case $step in
      created) undo_file "${rest%% *}" "${rest#* }" ;;
      replaced)
        rest2=${rest#* }
        undo_file "${rest%% *}" "${rest2#* }" "${rest2%% *}"
        ;;
      folder)
        if $dry || rmdir "$root$rest" 2>/dev/null; then say remove "$rest/"; else say keep "$rest/: it is not empty"; fi
        ;;
      fcontext) undo_label "$rest" ;;
      image) undo_image "${rest%% *}" "${rest#* }" ;;
      enabled) if has_systemd; then systemctl disable --quiet --now trousseau.service; fi ;;
    esac
  done <"$work/steps"
  $dry && echo 'Nothing was done: --dry-run' && return
  if has_systemd; then
    systemctl daemon-reload
    systemctl try-restart trousseau.service
  fi
  if $kept; then
    mv "$record/steps" "$record/undone"
    echo "Undone, but for what is kept; what was replaced lies in $record"
  else
    rm -rf "$record"
    rmdir "$root$records" 2>/dev/null || true
    echo 'Undone'
  fi
}

$dry || [ "$(id -u)" = 0 ] || die "Run it as root, or with --dry-run"
if $undo; then
  need sha256sum
  undo_newest
else
  verify
  read_plan
  install_all
fi
