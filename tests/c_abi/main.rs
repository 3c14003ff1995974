//! The C ABI as C programs meet it: the header in each language standard, the symbols of the library, what an app can do
//! wrong, and a real call through a server on loopback.
#![cfg(all(feature = "server", target_os = "linux"))]
#![allow(clippy::disallowed_methods, reason = "real sockets run in real time")]

mod callers;
mod declared;
#[cfg(feature = "devices")]
mod devices;
mod inside;
mod push;

use std::collections::HashMap;
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

/// Runs it for five minutes at most: a program that hangs is told as such, with what it has said.
fn run(command: &mut Command) -> Output {
    let mut bounded = Command::new("timeout");
    bounded.args(["--kill-after=10", "300"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bounded.env(name, value),
            None => bounded.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        bounded.current_dir(folder);
    }
    let output = bounded.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}{}\n{}{}",
        output.status,
        if output.status.code() == Some(124) { " (it did not end within 300 s)" } else { "" },
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

/// Compiles a program of tests/c against the library, as an app would link it.
fn compile(folder: &Path, source: &str, options: &[&str]) -> PathBuf {
    let program = folder.join(Path::new(source).file_stem().unwrap());
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

/// A server of our own on loopback, while a test runs.
pub struct Host {
    runtime: tokio::runtime::Runtime,
    server: Option<Server>,
    _folder: tempfile::TempDir,
    pub url: String,
}

impl Host {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub fn start_with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut config = ServerConfig {
            http: "127.0.0.1:0".parse().unwrap(),
            udp: "127.0.0.1:0".parse().unwrap(),
            api_keys: vec![ApiKeyConfig { id: "test".into(), secret: SECRET.into() }],
            database: folder.path().join("trill.db").display().to_string(),
            ..ServerConfig::default()
        };
        change(&mut config);
        let server = runtime.block_on(Server::start(config)).unwrap();
        let url = format!("http://{}", server.http_addr());
        Self { runtime, server: Some(server), _folder: folder, url }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.shutdown());
        }
    }
}

/// Runs `call`, as two phones on a server of our own.
fn hold_a_call(options: &[&str]) {
    let (folder, host) = (tempfile::tempdir().unwrap(), Host::start());
    let program = compile(folder.path(), "call.c", options);
    let output = run(Command::new(program).args([&host.url, &user_token("alice"), &user_token("bob")]));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "called\n");
}

/// Installs the library as an app's build finds it.
pub fn install(folder: &Path) -> PathBuf {
    let prefix = folder.join("usr");
    run(Command::new(Path::new(ROOT).join("scripts/install"))
        .arg("--from")
        .arg(library().parent().unwrap())
        .arg(&prefix));
    prefix
}

/// Builds an example with CMake against an installed library, and says where its program is.
pub fn build(folder: &Path, prefix: &Path, source: &str, program: &str, options: &[&str]) -> PathBuf {
    let (source, build) = (Path::new(ROOT).join(source), folder.join(program));
    run(Command::new("cmake")
        .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()))
        .args(options)
        .arg("-S")
        .arg(&source)
        .arg("-B")
        .arg(&build));
    run(Command::new("cmake").arg("--build").arg(&build));
    build.join(program)
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
    for (compiler, language, standard) in compilers.iter().chain(&clang) {
        run(Command::new(compiler)
            .args(["-x", language, &format!("-std={standard}"), "-fsyntax-only", "-I"])
            .arg(Path::new(ROOT).join("include"))
            .args(WARNINGS)
            .arg(&source));
    }
}

/// But for a token, and a server that answers.
#[test]
fn the_call_at_the_top_of_the_header_compiles_as_it_stands_there_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let header = declared::header();
    let (overview, _) = header.split_once("*/").unwrap();
    let code = overview.lines().filter_map(|line| line.strip_prefix(" *     ")).collect::<Vec<_>>().join("\n");
    assert!(code.contains("https://calls.example.com"), "{code}");
    let source = folder.path().join("overview.c");
    std::fs::write(&source, code.replace("https://calls.example.com", "http://127.0.0.1:1") + "\n").unwrap();
    let options = ["-Wno-unused-parameter", "-DALICES_TOKEN=\"t\"", "-fsanitize=address,undefined"];
    run(&mut Command::new(compile(folder.path(), source.to_str().unwrap(), &options)));
}

#[test]
fn only_our_symbols_leave_the_library_and_all_of_the_header_do() {
    let output = run(Command::new("nm").args(["-D", "--defined-only"]).arg(library()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut symbols: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().last()).collect();
    let foreign: Vec<_> = symbols.iter().filter(|name| !name.starts_with("trill_")).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    let header = std::fs::read_to_string(Path::new(ROOT).join("include/trill.h")).unwrap();
    let functions = declared::functions(&header);
    let mut declared: Vec<&str> = functions.iter().map(|function| function.name.as_str()).collect();
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

/// What is kept of results, so that none is freed twice, does not keep a search for leaks from finding those that are not freed.
#[test]
fn a_result_that_an_app_forgets_to_free_is_found_by_a_search_for_leaks() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["-fsanitize=address,undefined", "-fno-sanitize-recover", "-DFORGETS"];
    let program = compile(folder.path(), "misuse.c", &options);
    let output = Command::new("timeout").arg("300").arg(program).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("detected memory leaks"), "{}\n{told}", output.status);
}

#[test]
fn each_struct_that_grows_is_tried_in_an_older_and_a_newer_size() {
    let misuse = std::fs::read_to_string(Path::new(ROOT).join("tests/c/misuse.c")).unwrap();
    let grow = declared::growing_structs(&declared::header());
    let missing: Vec<_> = grow.iter().filter(|name| !misuse.contains(&format!("sizes(e, sizeof({name}),"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_header_says_of_each_function_who_owns_what_the_thread_and_what_it_returns() {
    let functions = declared::functions(&declared::header());
    let missing: Vec<String> = functions.iter().flat_map(declared::Function::missing).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// And no function returns a status that its comment does not name.
#[test]
fn no_pointer_that_must_be_there_can_be_null() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("null.c");
    let header = declared::header();
    std::fs::write(&source, declared::null_program(&header)).unwrap();
    let include = format!("-I{ROOT}/tests/c");
    let options = [&include, "-fsanitize=address,undefined", "-fno-sanitize-recover"];
    let program = compile(folder.path(), source.to_str().unwrap(), &options);
    // What it is given, it does not free: of that other programs see to it.
    let output = run(Command::new(program).env("ASAN_OPTIONS", "detect_leaks=0"));
    let output = String::from_utf8(output.stdout).unwrap();
    let told = output.strip_suffix("refused\n").unwrap();
    let functions = declared::functions(&header);
    let said: HashMap<_, _> = functions.iter().map(|function| (function.name.as_str(), function.statuses())).collect();
    for (name, status) in told.lines().map(|line| line.split_once(' ').unwrap()) {
        let known = status == "ok" || said[name].contains(&status.to_uppercase().as_str());
        assert!(known, "{name} returned {status}, of which its comment says nothing");
    }
    assert!(told.lines().count() > 150, "{told}");
}

/// 16 threads call everything at random for so long; `CHAOS_SEED` tries another order. What they leave of the
/// processors is for tests beside them, which talk in real time. No completion is told a status of which the header says
/// nothing.
fn chaos(options: &[&str], seconds: &str) {
    let (folder, host) = (tempfile::tempdir().unwrap(), Host::start());
    let program = compile(folder.path(), "chaos.c", options);
    let seed = std::env::var("CHAOS_SEED").unwrap_or_else(|_| "1".into());
    let output = run(Command::new("nice").args(["-n", "19"]).arg(program).args([
        &host.url,
        &user_token("alice"),
        &user_token("bob"),
        seconds,
        &seed,
    ]));
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(output.ends_with("done\n"));
    let functions = declared::functions(&declared::header());
    let told = output.lines().filter_map(|line| line.strip_prefix("told ")?.split_once(' '));
    let unsaid = |(name, status): &(&str, &str)| {
        let function = functions.iter().find(|function| function.name == *name).unwrap();
        !function.may_tell(&status.to_uppercase())
    };
    let unsaid: Vec<_> = told.clone().filter(unsaid).collect();
    assert!(unsaid.is_empty(), "the header does not say that these completions are told that: {unsaid:?}");
    assert!(told.count() > 20, "{output}");
}

/// For as long as `CHAOS_SECONDS` says: a minute in scripts/test, else 4 s. Its name lets it begin early.
#[test]
fn a_minute_of_sixteen_threads_that_call_everything_at_random_breaks_nothing() {
    let seconds = std::env::var("CHAOS_SECONDS").unwrap_or_else(|_| "4".into());
    chaos(&[], &seconds);
}

#[test]
fn sixteen_threads_call_everything_at_random_and_nothing_breaks_under_the_sanitizers() {
    chaos(&["-fsanitize=address,undefined", "-fno-sanitize-recover"], "4");
}

#[test]
fn a_thousand_engines_leave_no_memory_file_or_thread_behind() {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new(compile(folder.path(), "lifetime.c", &[])).arg("1000"));
}

#[test]
fn an_engines_life_is_clean_under_valgrind() {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new("valgrind")
        .args(["--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite", "--fair-sched=yes"])
        .arg(compile(folder.path(), "lifetime.c", &[]))
        .arg("5"));
}

#[test]
fn the_static_library_and_openssl_work_in_one_program() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = install(folder.path());
    let package = std::fs::read_to_string(prefix.join("lib/pkgconfig/trill.pc")).unwrap();
    let needs = package.lines().find_map(|line| line.strip_prefix("Libs.private: ")).unwrap();
    let program = folder.path().join("beside_openssl");
    run(Command::new("gcc")
        .args(["-std=gnu11", "-pthread"])
        .arg("-I")
        .arg(prefix.join("include"))
        .arg(Path::new(ROOT).join("tests/c/beside_openssl.c"))
        .arg("-o")
        .arg(&program)
        .arg(prefix.join("lib/libtrill.a"))
        .args(needs.split_whitespace())
        .args(["-lssl", "-lcrypto"]));
    let host = Host::start();
    let output = run(Command::new(program).args([&host.url, &user_token("alice")]));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "both\n");
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
    let prefix = install(folder.path());
    for example in ["minimal_call", "native_caller"] {
        let program = build(folder.path(), &prefix, &format!("examples/{example}"), example, &[]);
        let usage = Command::new(program).output().unwrap();
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
