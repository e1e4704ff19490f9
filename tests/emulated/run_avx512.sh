#!/bin/sh
# Runs test programs on a CPU with AVX-512-VNNI that Bochs emulates, for machines that have none:
#   sh tests/emulated/run_avx512.sh 'PROGRAM ARGUMENTS'...
# Boots Debian's kernel with the programs in an initial RAM disk, in about half a minute; each runs with
# QTK_ISA=avx512_vnni. Programs are found from the top folder of the project. Ends in 'N passed, N failed'; exits with 77 where there is no emulator to be had.
set -eu
cd "$(dirname "$0")/../.."
. cmake/setup.sh

unavailable() {
  echo "skipped: $1"
  exit 77
}

need bochs xorriso cpio
need_at busybox-static /bin/busybox
need_at bochsbios /usr/share/bochs/BIOS-bochs-latest
need_at vgabios /usr/share/bochs/VGABIOS-lgpl-latest
need_at bochs-term /usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so
need_at isolinux /usr/lib/ISOLINUX/isolinux.bin
need_at syslinux-common /usr/lib/syslinux/modules/bios/ldlinux.c32
(install_missing) || unavailable "Bochs or what makes its disk cannot be installed"

# The kernel of Debian's cloud images, unpacked and not installed.
kernel=build/emulated/vmlinuz
if [ ! -e $kernel ]; then
  mkdir -p build/emulated
  name=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
  [ -n "$name" ] && (cd build/emulated && apt-get download "$name" >/dev/null 2>&1 && dpkg-deb -x ./"$name"_*.deb unpacked) ||
    unavailable "no Debian kernel to boot"
  mv build/emulated/unpacked/boot/vmlinuz-* $kernel
  rm -rf build/emulated/unpacked build/emulated/*.deb
fi

work=$(mktemp -d)
emulator=
# Bochs ignores TERM: only KILL ends it, and timeout with it, as its parent.
cleaned() {
  [ -z "$emulator" ] || kill -KILL $(cat "/proc/$emulator/task/$emulator/children") 2>/dev/null || true
  rm -rf "$work"
}
# A signal alone runs no EXIT trap in dash, and Bochs would live on, with a core to itself.
trap cleaned EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
root=$work/root
mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/tests" "$work/disk"
cp /bin/busybox "$root/bin/busybox"
for command in "$@"; do
  program=${command%% *}
  cp "$program" "$root/tests/"
  echo "/tests/${program##*/}${command#"$program"}" >>"$root/commands"
  for library in $(ldd "$program" | grep -o '/[^ ]*'); do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
  done
done
# What the programs print goes to a serial line of its own, apart from the kernel's messages.
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
busybox=/bin/busybox
$busybox mount -t devtmpfs dev /dev
$busybox mount -t proc proc /proc
$busybox stty -F /dev/ttyS1 raw 115200
export QTK_ISA=avx512_vnni QTK_TEST_LIGHT=1
while read -r command; do
  echo "--- ${command#/tests/}"
  if $command </dev/null >/output 2>&1; then result=passed; else result="failed, status $?"; fi
  $busybox cat /output  # by way of a file: on a terminal they would color their output
  echo "emulated: $result"
done </commands >/dev/ttyS1 2>&1
$busybox poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/disk/initrd"
cp $kernel "$work/disk/vmlinuz"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/disk/"
# Bochs 2.7 describes this CPU in ways that Linux 6.1 trips over: FSRM without ERMS (memmove is patched
# wrongly), a misplaced PKRU, the size of compacted XSAVE. Without those features both agree.
cat >"$work/disk/isolinux.cfg" <<'CONFIG'
default tests
prompt 0
label tests
 kernel vmlinuz
 append initrd=initrd console=ttyS0,115200 mitigations=off nokaslr clearcpuid=fsrm,pku,xsaves,xsavec
CONFIG
xorriso -as mkisofs -o "$work/boot.iso" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 \
  -boot-info-table "$work/disk" 2>/dev/null

cat >"$work/bochsrc" <<CONFIG
config_interface: textconfig
display_library: term
plugin_ctrl: speaker=0
cpu: model=corei7_icelake_u, count=1, ips=50000000, reset_on_triple_fault=0
memory: guest=512, host=512
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=$work/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/kernel.log
com2: enabled=1, mode=file, dev=$work/tests.log
clock: sync=none, time0=local
log: $work/bochs.log
panic: action=fatal
error: action=ignore
CONFIG
echo continue >"$work/debugger"
# Bochs ends with status 1 when its machine is switched off. Beside the shell: traps wait for a command to end.
TERM=vt100 timeout -s KILL "${QTK_EMULATION_SECONDS:-900}" bochs -q -rc "$work/debugger" -f "$work/bochsrc" \
  </dev/null >/dev/null 2>&1 &
emulator=$!
wait "$emulator" || true
emulator=

[ -s "$work/tests.log" ] || {
  tail -n 20 "$work/kernel.log" 2>/dev/null || true
  echo "the emulated machine did not come up"
  exit 1
}
tr -d '\r' <"$work/tests.log"
passed=$(grep -c '^emulated: passed' "$work/tests.log" || true)
echo "$passed passed, $(($# - passed)) failed"
[ "$passed" -eq $# ]
