//! Link arguments of the C library: its SONAME, which grows with the ABI.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    // Elsewhere the platform's own conventions hold.
    if os == "linux" || os == "android" {
        // TRILL_ABI_VERSION of src/capi/library.rs; tests/c_abi/main.rs compares the two.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libtrill.so.0");
    }
}
