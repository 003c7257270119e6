#!/usr/bin/env bash
# libraries.sh x86_64|arm64: the cross compiler, and the libraries of the static binaries
# built with it, from the pinned sources of sources.txt. cmake --preset static-ARCH runs it.
#
# Everything it makes is below build/static: tools, sources, and ARCH/NAME for a library.
# What is built is not built again until its source, its recipe, a flag or the compiler
# changes. DURABLED_SOURCES may name a directory that has the packages already (.dsc with
# their tarballs, .crate, .whl), for machines without a registry.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
here=$root/deploy/static
static=$root/build/static
arch=${1:-}
case $arch in
    x86_64) target=x86_64-linux-musl ;;
    arm64) target=aarch64-linux-musl ;;
    *) echo "usage: libraries.sh x86_64|arm64" >&2 && exit 2 ;;
esac
out=$static/$arch
jobs=${DD_JOBS:-$(nproc)}

# OPENSSL_CFLAGS, __DATE__ and whatever else would have the time of the build.
export SOURCE_DATE_EPOCH=1700000000 LC_ALL=C TZ=UTC
# What the caller's environment has for other compilers must not reach this one.
unset CC CFLAGS CPPFLAGS LDFLAGS LIBS PKG_CONFIG_PATH

say() { printf -- '-- static %s: %s\n' "$arch" "$*"; }
fail() {
    printf 'libraries.sh: %s\n' "$*" >&2
    exit 1
}
sum_of() { sha256sum | cut -c1-16; }
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

install_packages() {
    local missing=() package
    command -v apt-get >/dev/null || return 0
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    # Any cargo will do that knows sparse registries; cargo-web is Debian's newest.
    command -v cargo >/dev/null || [ -n "${DURABLED_SOURCES:-}" ] || missing+=(cargo-web)
    [ ${#missing[@]} -gt 0 ] || return 0
    say "packages to install: ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# --- the compiler ---------------------------------------------------------------

# Zig's compiler behind the names that configure scripts and CMake expect. -UNDEBUG:
# assertions stay on, as in every other build; zig defines NDEBUG when it optimises. The
# map keeps the place of the checkout out of the binaries.
install_compiler() {
    local tools=$static/tools key python tool
    key=$({ cat "$here/zig.txt"; uname -m; } | sum_of)
    if [ "$(cat "$tools/key" 2>/dev/null)" != "$key" ]; then
        say "installing the compiler"
        rm -rf "$tools"
        mkdir -p "$tools"
        python=$(PATH=/usr/bin:$PATH command -v python3)
        "$python" -m venv "$tools/venv"
        "$tools/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps \
            --require-hashes -r "$here/zig.txt"
        ln -s "$tools"/venv/lib/python3*/site-packages/ziglang/zig "$tools/zig"
        echo "$key" >"$tools/key"
    fi
    mkdir -p "$out/bin"
    cat >"$out/bin/cc" <<SH
#!/bin/sh
export ZIG_GLOBAL_CACHE_DIR=$tools/cache ZIG_LOCAL_CACHE_DIR=$tools/cache
exec $tools/zig cc -target $target -UNDEBUG -ffile-prefix-map=$root/= "\$@"
SH
    for tool in ar ranlib; do
        printf '#!/bin/sh\nexec %s/zig %s "$@"\n' "$tools" "$tool" >"$out/bin/$tool"
    done
    chmod +x "$out"/bin/*
    export PATH=$out/bin:$PATH
    install_linker "$key"
}

# Zig's own step to lld knows few of its options, so programs are linked by lld itself with
# what zig links them with. Packed relocations are a tenth of the binary less; musl applies
# them. A thread has the stack that it has elsewhere.
install_linker() {
    local key=$1 crt=$out/crt file name
    if [ "$(cat "$crt/key" 2>/dev/null)" != "$key" ]; then
        rm -rf "$crt"
        mkdir -p "$crt"
        echo 'int main(void) { return 0; }' >"$crt/empty.c"
        ZIG_VERBOSE_LINK=1 cc -static -pie "$crt/empty.c" -o "$crt/empty" 2>"$crt/log"
        for file in $(tr ' ' '\n' <"$crt/log" | grep -E '/(rcrt1\.o|libc\.a|libcompiler_rt\.a)$'); do
            cp "$file" "$crt/"
        done
        # What musl has in one library, and other systems in these.
        for name in dl m pthread rt; do ar rcD "$crt/lib$name.a"; done
        echo "$key" >"$crt/key"
    fi
    cat >"$out/bin/ld" <<SH
#!/bin/sh
exec $tools/zig ld.lld -static -pie --no-dynamic-linker -z relro -z now -z stack-size=8388608 \
    --gc-sections --pack-dyn-relocs=relr --strip-all --build-id=none \
    $crt/rcrt1.o "\$@" -L$crt -lc -lcompiler_rt
SH
    chmod +x "$out/bin/ld"
}

# --- sources --------------------------------------------------------------------

check_sum() {
    echo "$2  $1" | sha256sum --quiet --check - >/dev/null ||
        fail "$1 is not what sources.txt says"
}

# apt-get with source packages of the suites that this machine is configured for, and with
# lists of its own, so that the machine's configuration stays as it is.
apt_sources() {
    local apt=$static/apt
    if [ ! -s "$apt/sources.list" ]; then
        mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
        # Before the first update apt does not know whose suites they are.
        [ -n "$(apt-get indextargets 'Origin: Debian')" ] || as_root apt-get update -qq
        # shellcheck disable=SC2016
        apt-get indextargets --format 'deb-src $(SITE) $(RELEASE) $(COMPONENT)' \
            'Created-By: Packages' 'Origin: Debian' | sort -u >"$apt/sources.list"
        [ -s "$apt/sources.list" ] || fail "no Debian suite is configured on this machine"
    fi
    apt-get -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" \
        -o APT::Sandbox::User=root -o Acquire::Retries=5 "$@"
}

fetch_debian() {
    local package=$1 version=$2 to=$3
    [ -d "$static/apt/lists" ] || apt_sources -qq update
    (cd "$to" && apt_sources -qq --download-only source "$package=$version") ||
        fail "no source package $package $version; DURABLED_SOURCES can name a directory with it"
}

# cargo only fetches; nothing of Rust is built.
fetch_crate() {
    local package=$1 version=$2 to=$3 project=$3/project
    mkdir -p "$project"
    printf '[package]\nname = "sources"\nversion = "0.0.0"\n[lib]\npath = "lib.rs"\n[dependencies]\n%s = "=%s"\n' \
        "$package" "${version%%+*}" >"$project/Cargo.toml"
    : >"$project/lib.rs"
    (cd "$project" && CARGO_REGISTRIES_CRATES_IO_PROTOCOL=sparse cargo --quiet fetch) ||
        fail "no crate $package $version"
    cp "${CARGO_HOME:-$HOME/.cargo}"/registry/cache/*/"$package-$version.crate" "$to/"
}

# The same wheel whatever machine builds: nothing compiled of it is used.
fetch_pypi() {
    local package=$1 version=$2 to=$3
    "$static/tools/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps \
        --only-binary :all: --python-version 3.11 --platform manylinux2014_x86_64 \
        --dest "$to" "$package==$version" ||
        fail "no wheel $package $version"
}

# take ORIGIN PACKAGE=VERSION SHA256 DIRECTORY: the source, checked and patched.
take() {
    local origin=$1 package=${2%%=*} version=${2#*=} sum=$3 into=$4 to archive attempt
    to=$static/sources/packages/$(basename "$into")
    rm -rf "$into" "$to"
    mkdir -p "$to"
    case $origin in
        debian) archive=${package}_$version.dsc ;;
        crate) archive=$package-$version.crate ;;
        pypi) archive=$package-$version-*.whl ;;
    esac
    if [ -n "${DURABLED_SOURCES:-}" ]; then
        cp "$DURABLED_SOURCES"/$archive "$to/"
        [ "$origin" != debian ] || cp "$DURABLED_SOURCES/${package}_"*.tar.* "$to/"
    else
        for attempt in 1 2 3; do
            # A mirror that answers wrongly once often answers rightly a moment later.
            (fetch_"$origin" "$package" "$version" "$to") && break
            [ "$attempt" -lt 3 ] || exit 1
            sleep 3
        done
    fi
    archive=$(echo "$to"/$archive)
    check_sum "$archive" "$sum"
    case $origin in
        debian) dpkg-source --no-copy --extract "$archive" "$into" >"$to/extract.log" 2>&1 ||
            { cat "$to/extract.log" >&2 && exit 1; } ;;
        crate) mkdir -p "$into" && tar xzf "$archive" -C "$into" --strip-components=1 ;;
        pypi) python3 -m zipfile -e "$archive" "$into" ;;
    esac
    touch "$into/.complete"
}

# fetch NAME: its source, from the first of its origins that has it; sets $source.
fetch() {
    local name=$1 origins row origin what sum folder rc
    mapfile -t origins < <(awk -v n="$name" '$1 == n' "$here/sources.txt")
    for row in "${origins[@]}"; do
        read -r _ origin what sum folder <<<"$row"
        source=$static/sources/$name-${what#*=}
        rc=0
        if [ ! -e "$source/.complete" ]; then
            # Not `take ... ||`: behind that, bash goes on after a command that failed.
            set +e
            (set -e; take "$origin" "$what" "$sum" "$source")
            rc=$?
            set -e
        fi
        source+=${folder:+/$folder}
        [ $rc -ne 0 ] || return 0
    done
    fail "no origin has the source of $name"
}

# --- recipes --------------------------------------------------------------------
# Each builds $source into $prefix (lib, include, licence), in $work, an empty directory.

cflags='-O2 -fPIC -ffunction-sections -fdata-sections -fstack-protector-strong'
cflags+=' -fno-unwind-tables -fno-asynchronous-unwind-tables'

with_cmake() {
    local from=$1
    shift
    cmake -S "$from" -B "$work" -G Ninja -Wno-dev \
        -DCMAKE_TOOLCHAIN_FILE="$here/$arch.cmake" -DCMAKE_BUILD_TYPE=None \
        -DCMAKE_C_FLAGS="$cflags" -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib \
        -DBUILD_SHARED_LIBS=OFF -DBUILD_TESTING=OFF "$@"
    cmake --build "$work" --parallel "$jobs" --target install
}

# compile LIBRARY OPTIONS... -- FILES...: for what is a few files of plain C.
compile() {
    local library=$1 options=() file
    shift
    while [ "$1" != -- ]; do options+=("$1") && shift; done
    shift
    mkdir -p "$prefix/lib" "$prefix/include"
    for file in "$@"; do
        # shellcheck disable=SC2086
        cc $cflags "${options[@]}" -c "$source/$file" -o "$work/$(basename "$file" .c).o"
    done
    ar rcD "$prefix/lib/lib$library.a" "$work"/*.o
}

# pc NAME VERSION LIBS [REQUIRES]: the libraries' own files name what a shared one needs.
pc() {
    mkdir -p "$prefix/lib/pkgconfig"
    printf 'prefix=%s\nName: %s\nDescription: %s, static\nVersion: %s\nRequires: %s\nCflags: -I${prefix}/include\nLibs: -L${prefix}/lib %s\n' \
        "$prefix" "$1" "$1" "$2" "${4:-}" "$3" >"$prefix/lib/pkgconfig/$1.pc"
}

build_uv() {
    with_cmake "$source" -DLIBUV_BUILD_TESTS=OFF
    rm -f "$prefix"/lib/libuv.so*
    pc libuv 1.44.2 '-luv_a -lpthread -ldl -lrt'
    cp "$source/LICENSE" "$prefix/licence"
}

# MDB_USE_ROBUST=0: musl has robust mutexes only where the kernel answers get_robust_list,
# which user-mode emulators and some sandboxes do not; opening a store would fail there.
# The daemon holds a lock on its data directory, so there is no second process to survive.
build_lmdb() {
    local from=libraries/liblmdb
    compile lmdb -DMDB_USE_ROBUST=0 -pthread -- $from/mdb.c $from/midl.c
    cp "$source/$from/lmdb.h" "$prefix/include/"
    pc lmdb 0.9.24 '-llmdb -lpthread'
    cp "$source/$from/LICENSE" "$prefix/licence"
}

# Its project asks for a C++ compiler and uses none.
build_msgpack() {
    with_cmake "$source" -DCMAKE_CXX_COMPILER="$out/bin/cc" -DCMAKE_CXX_COMPILER_FORCED=ON \
        -DMSGPACK_ENABLE_SHARED=OFF -DMSGPACK_BUILD_EXAMPLES=OFF \
        -DMSGPACK_BUILD_TESTS=OFF
    pc msgpack 4.0.0 -lmsgpackc
    cat "$source/COPYING" "$source/LICENSE_1_0.txt" >"$prefix/licence"
}

build_jansson() {
    with_cmake "$source" -DJANSSON_BUILD_DOCS=OFF -DJANSSON_EXAMPLES=OFF -DJANSSON_WITHOUT_TESTS=ON
    pc jansson 2.14 -ljansson
    cp "$source/LICENSE" "$prefix/licence"
}

build_microhttpd() {
    (cd "$work" && "$source/configure" --quiet --host="$target" --prefix="$prefix" \
        --disable-shared --enable-static --with-pic --disable-https --disable-curl \
        --disable-doc --disable-examples --disable-bauth --disable-dauth \
        CC=cc AR=ar RANLIB=ranlib CFLAGS="$cflags")
    make -C "$work/src/microhttpd" -j "$jobs" install
    make -C "$work/src/include" install
    pc libmicrohttpd 0.9.75 '-lmicrohttpd -lpthread'
    cp "$source/COPYING" "$prefix/licence"
}

build_xxhash() {
    compile xxhash -- xxhash.c
    cp "$source"/xxh*.h "$prefix/include/"
    pc libxxhash 0.8.1 -lxxhash
    sed '/\*\//q' "$source/xxhash.h" >"$prefix/licence"
}

build_yaml() {
    compile yaml -DYAML_DECLARE_STATIC -I"$source/include" -DYAML_VERSION_MAJOR=0 \
        -DYAML_VERSION_MINOR=2 -DYAML_VERSION_PATCH=5 '-DYAML_VERSION_STRING="0.2.5"' -- \
        src/{api,dumper,emitter,loader,parser,reader,scanner,writer}.c
    cp "$source/include/yaml.h" "$prefix/include/"
    pc yaml-0.1 0.2.5 -lyaml
    cp "$source/License" "$prefix/licence"
}

# What a TLS client and a few digests need; nothing is loaded at run time. It builds in its
# own tree, by relative names, since what it was configured with ends up in the library.
build_openssl() {
    local platform file
    case $arch in x86_64) platform=linux-x86_64 ;; arm64) platform=linux-aarch64 ;; esac
    cp -R "$source/." "$work"
    # 700 kB of AES for one family of processors; nothing here encrypts in bulk.
    for file in modes/asm/aes-gcm-avx512.pl aes/asm/aesni-xts-avx512.pl; do
        sed -i 's/^if ($avx512vaes *\(>0\)\?) {/if (0) {/' "$work/crypto/$file"
        grep -q '^if (0) {' "$work/crypto/$file"
    done
    (cd "$work" && ./Configure "$platform" --prefix=/usr --libdir=lib --openssldir=/etc/ssl \
        no-shared no-apps no-tests no-docs no-dso no-module no-legacy no-autoload-config \
        no-async no-cms no-cmp no-comp no-ct no-ts no-srp no-srtp no-psk no-ssl-trace no-gost \
        no-tls1 no-tls1-method no-tls1_1 no-tls1_1-method no-dtls no-quic no-ech no-ui-console \
        no-rfc3779 no-nextprotoneg no-ocsp no-http no-sock no-filenames no-deprecated \
        no-aria no-bf no-camellia no-cast no-chacha no-cmac no-des no-idea no-md4 no-mdc2 no-rc2 \
        no-rc4 no-rmd160 no-seed no-sm2 no-sm3 no-sm4 no-whirlpool no-poly1305 no-siphash no-siv \
        no-ocb no-scrypt no-argon2 no-dsa no-dh no-ec2m no-ecx no-ml-dsa no-slh-dsa no-ml-kem \
        no-lms no-multiblock no-integrity-only-ciphers no-tls-deprecated-ec no-weak-ssl-ciphers \
        no-sslkeylog no-tfo no-secure-memory no-hmac-drbg-kdf no-kbkdf no-krb5kdf no-pvkkdf \
        no-snmpkdf no-srtpkdf no-sshkdf no-sskdf no-x942kdf no-x963kdf no-thread-pool \
        no-default-thread-pool CC=cc AR=ar RANLIB=ranlib CFLAGS="$cflags -Oz")
    make -C "$work" -j "$jobs" build_libs
    mkdir -p "$prefix/lib" "$prefix/include"
    cp "$work/libcrypto.a" "$work/libssl.a" "$prefix/lib/"
    cp -R "$work/include/openssl" "$prefix/include/"
    pc libcrypto 4.0.3 '-lcrypto -lpthread'
    pc libssl 4.0.3 -lssl libcrypto
    cp "$work/LICENSE.txt" "$prefix/licence"
}

build_curl() {
    # The package leaves out directories that curl's own description enters.
    mkdir -p "$source/docs/examples"
    touch "$source/docs/CMakeLists.txt" "$source/docs/examples/CMakeLists.txt"
    cflags+=' -Oz'
    with_cmake "$source" -DHTTP_ONLY=ON -DCURL_USE_OPENSSL=ON \
        -DOPENSSL_ROOT_DIR="$out/openssl" -DOPENSSL_USE_STATIC_LIBS=ON \
        -DBUILD_CURL_EXE=OFF -DBUILD_STATIC_LIBS=ON -DBUILD_LIBCURL_DOCS=OFF -DBUILD_MISC_DOCS=OFF \
        -DENABLE_CURL_MANUAL=OFF -DCURL_ZLIB=OFF -DCURL_BROTLI=OFF -DCURL_ZSTD=OFF \
        -DUSE_NGHTTP2=OFF -DUSE_LIBIDN2=OFF -DCURL_USE_LIBPSL=OFF -DCURL_USE_LIBSSH2=OFF \
        -DCURL_DISABLE_ALTSVC=ON -DCURL_DISABLE_HSTS=ON -DCURL_DISABLE_COOKIES=ON \
        -DCURL_DISABLE_NTLM=ON -DCURL_DISABLE_NEGOTIATE_AUTH=ON -DCURL_DISABLE_KERBEROS_AUTH=ON \
        -DCURL_DISABLE_DIGEST_AUTH=ON -DCURL_DISABLE_AWS=ON -DCURL_DISABLE_DOH=ON \
        -DCURL_DISABLE_MIME=ON -DCURL_DISABLE_NETRC=ON -DCURL_DISABLE_PROGRESS_METER=ON \
        -DCURL_DISABLE_WEBSOCKETS=ON -DCURL_DISABLE_BEARER_AUTH=ON -DCURL_DISABLE_BINDLOCAL=ON \
        -DCURL_DISABLE_GETOPTIONS=ON -DCURL_DISABLE_PARSEDATE=ON -DCURL_DISABLE_SHA512_256=ON \
        -DCURL_DISABLE_SHUFFLE_DNS=ON -DCURL_DISABLE_OPENSSL_AUTO_LOAD_CONFIG=ON \
        -DENABLE_UNIX_SOCKETS=OFF \
        -DCURL_CA_BUNDLE=none -DCURL_CA_PATH=none
    rm -rf "$prefix/lib/pkgconfig" "$prefix/lib/cmake"
    pc libcurl 8.22.0 '-lcurl -lpthread' libssl
    cp "$source/COPYING" "$prefix/licence"
}

# The authorities of AWS's endpoints, for where no file has any. AWS names them: Amazon Trust
# Services' roots, and the older one that vouches for them.
build_roots() {
    awk '/^# Label: / { ours = /"(Amazon Root CA [1-4]|Starfield Services Root Certificate Authority - G2)"$/ }
        ours && /^-+BEGIN/, /^-+END/' "$source/certifi/cacert.pem" >"$prefix/roots.pem"
    [ "$(grep -c BEGIN "$prefix/roots.pem")" -eq 5 ]
    cp "$source"/certifi-*.dist-info/licenses/LICENSE "$prefix/licence"
}

# For the layer: Lambda's runtimes have different versions of Python, so no C.
build_python_msgpack() {
    mkdir -p "$prefix/msgpack"
    cp "$source"/msgpack/*.py "$prefix/msgpack/"
    cp "$source"/msgpack-*.dist-info/licenses/COPYING "$prefix/licence"
}

# build NAME [LIBRARY that it uses...]
build() {
    local name=$1 key other uses='' rc
    shift
    for other in "$@"; do uses+=$(cat "$out/$other/key"); done
    prefix=$out/$name
    key=$({ declare -f "build_$name" with_cmake compile pc
        awk -v n="$name" '$1 == n' "$here/sources.txt"
        cat "$here/zig.txt" "$here/toolchain.cmake" "$out/bin/cc"
        echo "$cflags $uses"; } | sum_of)
    if [ "$(cat "$prefix/key" 2>/dev/null)" != "$key" ]; then
        fetch "$name"
        say "building $name"
        work=$out/work/$name
        rm -rf "$prefix" "$work"
        mkdir -p "$work" "$prefix"
        set +e # as in fetch
        (set -e; "build_$name") >"$out/$name.log" 2>&1
        rc=$?
        set -e
        if [ $rc -ne 0 ]; then
            tail -n 40 "$out/$name.log" >&2
            fail "$name does not build; $out/$name.log has it all"
        fi
        echo "$key" >"$prefix/key"
        rm -rf "$work"
    fi
    mkdir -p "$out/licences"
    cp "$prefix/licence" "$out/licences/$name.txt"
}

install_packages python3 python3-venv cmake ninja-build pkg-config make perl dpkg-dev patch xz-utils
mkdir -p "$static/sources"
# The other architecture's run shares the compiler and the sources.
exec 9>"$static/lock"
flock 9
install_compiler
for library in uv lmdb msgpack jansson microhttpd xxhash yaml openssl roots python_msgpack; do
    build "$library"
done
build curl openssl
cp "$static"/tools/venv/lib/python3*/site-packages/ziglang/lib/libc/musl/COPYRIGHT "$out/licences/musl.txt"
cp "$root/LICENSE" "$out/licences/durabled.txt"
