//! The C ABI as C programs meet it: the header in each language standard, the symbols of the library, what an app can do
//! wrong, and a real call through a server on loopback.
#![cfg(all(feature = "server", target_os = "linux"))]
#![allow(clippy::disallowed_methods, reason = "real sockets run in real time")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use trill::base::{Uid, UnixMillis};
use trill::identity::{ApiKey, UserToken};
use trill::server::{ApiKeyConfig, Server, ServerConfig};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const SECRET: &str = "a-secret-for-tests-of-thirty-two-bytes-or-more";
const WARNINGS: &[&str] = &["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// The shared library, which cargo builds along with this test.
fn library() -> PathBuf {
    let library = std::env::current_exe().unwrap().with_file_name("libtrill.so");
    assert!(library.exists(), "{} is not there", library.display());
    library
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

/// Compiles a program of tests/c against the library, as an app would link it.
fn compile(folder: &Path, source: &str, options: &[&str]) -> PathBuf {
    let program = folder.join(source.replace('.', "_"));
    let soname = folder.join("libtrill.so.0");
    if !soname.exists() {
        std::os::unix::fs::symlink(library(), &soname).unwrap();
    }
    run(Command::new("gcc")
        .args(["-std=gnu11", "-g", "-O1", "-pthread", "-I"])
        .arg(Path::new(ROOT).join("include"))
        .args(WARNINGS)
        .args(options)
        .arg(Path::new(ROOT).join("tests/c").join(source))
        .arg("-o")
        .arg(&program)
        .arg(&soname)
        .arg(format!("-Wl,-rpath,{}", folder.display())));
    program
}

fn user_token(uid: &str) -> String {
    let key = ApiKey::new("test", SECRET).unwrap();
    UserToken::new(Uid::new(uid).unwrap()).mint(&key, UnixMillis::now(), Duration::from_secs(600))
}

/// Runs `call`, as two phones on a server of our own.
fn hold_a_call(options: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let program = compile(folder.path(), "call.c", options);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = ServerConfig {
        http: "127.0.0.1:0".parse().unwrap(),
        udp: "127.0.0.1:0".parse().unwrap(),
        api_keys: vec![ApiKeyConfig { id: "test".into(), secret: SECRET.into() }],
        database: folder.path().join("trill.db").display().to_string(),
        ..ServerConfig::default()
    };
    let server = runtime.block_on(Server::start(config)).unwrap();
    let url = format!("http://{}", server.http_addr());
    let output = run(Command::new(program).args([url, user_token("alice"), user_token("bob")]));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "called\n");
    runtime.block_on(server.shutdown());
}

#[test]
fn the_header_alone_compiles_as_c99_c11_and_cpp17_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("header.c");
    std::fs::write(
        &source,
        "#include <trill.h>\nint main(void) { return (int)TRILL_SESSION_SETTINGS_INIT.audio_source; }\n",
    )
    .unwrap();
    let compilers = [("gcc", "c", "c99"), ("gcc", "c", "c11"), ("g++", "c++", "c++17")];
    let clang = [("clang", "c", "c99"), ("clang", "c", "c11"), ("clang++", "c++", "c++17")];
    let has_clang = Command::new("clang").arg("--version").output().is_ok();
    for (compiler, language, standard) in compilers.iter().chain(clang.iter().filter(|_| has_clang)) {
        run(Command::new(compiler)
            .args(["-x", language, &format!("-std={standard}"), "-fsyntax-only", "-I"])
            .arg(Path::new(ROOT).join("include"))
            .args(WARNINGS)
            .arg(&source));
    }
}

#[test]
fn only_our_symbols_leave_the_library_and_all_of_the_header_do() {
    let output = run(Command::new("nm").args(["-D", "--defined-only"]).arg(library()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut symbols: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().last()).collect();
    let foreign: Vec<_> = symbols.iter().filter(|name| !name.starts_with("trill_")).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    let header = std::fs::read_to_string(Path::new(ROOT).join("include/trill.h")).unwrap();
    let mut declared: Vec<&str> = header
        .lines()
        .filter(|line| !line.starts_with([' ', '#', '/', 's', '*']) && !line.starts_with("typedef"))
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next())
        .collect();
    symbols.sort();
    declared.sort();
    assert_eq!(symbols, declared);
}

#[test]
fn the_soname_carries_the_abi_version() {
    let output = run(Command::new("readelf").arg("-d").arg(library()));
    let header = std::fs::read_to_string(Path::new(ROOT).join("include/trill.h")).unwrap();
    let version = header.lines().find_map(|line| line.strip_prefix("#define TRILL_ABI_VERSION ")).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(&format!("[libtrill.so.{version}]")), "{text}");
}

#[test]
fn what_an_app_does_wrong_is_refused_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&mut Command::new(compile(folder.path(), "misuse.c", &[])));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "refused\n");
}

#[test]
fn what_an_app_does_wrong_is_refused_under_the_sanitizers_too() {
    let folder = tempfile::tempdir().unwrap();
    let program = compile(folder.path(), "misuse.c", &["-fsanitize=address,undefined", "-fno-sanitize-recover"]);
    run(&mut Command::new(program));
}

#[test]
fn two_phones_in_c_call_talk_hang_up_and_find_it_in_the_log() {
    hold_a_call(&[]);
}

#[test]
fn a_call_is_clean_under_the_sanitizers() {
    hold_a_call(&["-fsanitize=address,undefined", "-fno-sanitize-recover"]);
}

#[test]
fn the_examples_build_against_the_installed_library_with_cmake_and_pkg_config() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("usr");
    run(Command::new(Path::new(ROOT).join("scripts/install"))
        .arg("--from")
        .arg(library().parent().unwrap())
        .arg(&prefix));
    for example in ["minimal_call", "native_caller"] {
        let (source, build) = (Path::new(ROOT).join("examples").join(example), folder.path().join(example));
        run(Command::new("cmake")
            .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()))
            .arg("-S")
            .arg(&source)
            .arg("-B")
            .arg(&build));
        run(Command::new("cmake").arg("--build").arg(&build));
        let usage = Command::new(build.join(example)).output().unwrap();
        assert_eq!(usage.status.code(), Some(2), "it loads its library and tells how it is used");
        assert!(String::from_utf8_lossy(&usage.stderr).starts_with("usage: "));
    }
    let flags = run(Command::new("pkg-config")
        .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
        .args(["--cflags", "--libs", "trill"]));
    let flags = String::from_utf8(flags.stdout).unwrap();
    let program = folder.path().join("with_pkg_config");
    run(Command::new("gcc")
        .arg(Path::new(ROOT).join("examples/minimal_call/minimal_call.c"))
        .args(flags.split_whitespace())
        .arg("-o")
        .arg(&program));
    let usage = Command::new(&program).env("LD_LIBRARY_PATH", prefix.join("lib")).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
}
