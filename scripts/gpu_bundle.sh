#!/bin/sh
# Collects what build/cuda holds into gpu-bundle/: programs and the libraries beside them (packed), images, and what runs it all.
# Needs nothing there but glibc, a driver, and python3. Called by `./run gpu-bundle` (docs/gpu.md).
set -eu
cd "$(dirname "$0")/.."
build=build/cuda
out=gpu-bundle
files=$build/bundle

rm -rf $out $files
mkdir -p $files/bin $files/lib $out/bench/baselines
cp $build/bin/graft $build/bin/graft_bench $build/bin/test_kernels $build/bin/test_nn $files/bin/

# All libraries but those of glibc and the driver. (Their versions of it are the oldest that this machine's compiler asks for.)
ldd $files/bin/* | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | sort -u |
  grep -vE '/(libc|libm|libdl|librt|libpthread|libresolv|ld-linux-x86-64|libcuda|libnvidia-[a-z]*)\.so' |
  while read -r library; do cp -L "$library" $files/lib/; done
strip --strip-debug $files/bin/* $files/lib/*
# DT_RPATH, unlike DT_RUNPATH, holds for the libraries of libraries too.
for f in $files/bin/*; do patchelf --force-rpath --set-rpath '$ORIGIN/../lib' "$f"; done
for f in $files/lib/*; do patchelf --remove-rpath "$f"; done
missing=$(for f in $files/bin/*; do env -u LD_LIBRARY_PATH ldd "$f"; done | grep 'not found' || true)
[ -z "$missing" ] || { echo "gpu-bundle: libraries are missing: $missing" >&2; exit 1; }

tar -C $files -cf - bin lib | xz -T0 -3 >$out/files.tar.xz
python3 scripts/gpu_bundle_images.py $out/images.zip
cp examples/gpu_study.toml $out/study.toml
cp bench/baselines/*.py $out/bench/baselines/
cp scripts/gpu_bundle_run.py $out/run
chmod +x $out/run
{ git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown; } >$out/commit
echo "gpu-bundle: $(du -sm $out | cut -f1) MiB, newest symbol of glibc $(for f in $files/bin/* $files/lib/*; do
  readelf -V "$f"; done 2>/dev/null | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1 | cut -d_ -f2). On a machine with a GPU: gpu-bundle/run"
