//! What include/trill.h declares, and programs that are written from it, so that nothing new can be forgotten.

use std::fmt::Write;
use std::path::Path;

pub struct Function {
    pub name: String,
    /// Its comment, as one line.
    pub comment: String,
    /// Type and name of each.
    pub parameters: Vec<(String, String)>,
    pub returns_status: bool,
}

/// Pointers that may be NULL, by what trill.h says of them.
const MAY_BE_NULL: &[&str] = &[
    "config",
    "callbacks",
    "options",
    "settings",
    "filter",
    "done",
    "function",
    "user_data",
    "error",
    "topic",
    "destinations",
    "name",
];

/// Pointers that must be there, and a value for each.
const MUST_BE_THERE: &[(&str, &str)] = &[
    ("engine", "engine"),
    ("session_id", "\"s\""),
    ("server", "\"http://127.0.0.1:1\""),
    ("url", "\"http://127.0.0.1:1\""),
    ("token", "\"t\""),
    ("receiver", "\"bob\""),
    ("listener_id", "\"l\""),
    ("track_id", "\"t\""),
    ("listener", "&listener"),
    ("frame", "&frame"),
    ("samples", "(const void *)&room"),
    ("payload", "(const void *)&room"),
    ("out", "(void *)&room"),
];

pub fn header() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/trill.h")).unwrap()
}

/// The text of the header without its comments.
fn code(header: &str) -> String {
    let mut text = String::new();
    let mut rest = header;
    while let Some((before, comment)) = rest.split_once("/*") {
        text += before;
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    text + rest
}

/// Every function of the library's.
pub fn functions(header: &str) -> Vec<Function> {
    let code = code(header);
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if line.starts_with([' ', '#', '}', '{']) || line.starts_with("typedef") || line.starts_with("static") {
            continue;
        }
        let Some((before, _)) = line.split_once('(') else { continue };
        let name = before.rsplit([' ', '*']).next().unwrap().to_owned();
        let whole = lines[at..].join(" ");
        let parameters = whole.split_once('(').unwrap().1.split_once(')').unwrap().0.to_owned();
        let parameters =
            parameters.split(',').map(str::trim).filter(|parameter| *parameter != "void").map(|parameter| {
                let at = parameter.rfind([' ', '*']).unwrap() + 1;
                (parameter[..at].trim().to_owned(), parameter[at..].to_owned())
            });
        let (until, _) = header.split_once(&format!("\n{line}")).unwrap();
        let comment = until.rsplit_once("/**").map_or("", |(_, comment)| comment.trim_end_matches("*/"));
        let comment = comment.lines().map(|line| line.trim_start_matches(" *").trim()).collect::<Vec<_>>().join(" ");
        let (returns_status, parameters) = (before.starts_with("int32_t "), parameters.collect());
        found.push(Function { name, comment, returns_status, parameters });
    }
    assert!(found.len() > 40, "{}", found.len());
    found
}

/// The integer constants, each with what it is a choice of: `("STATUS", "OK")`.
pub fn constants(header: &str) -> Vec<String> {
    header
        .lines()
        .filter_map(|line| line.strip_prefix("#define TRILL_")?.split_once(' '))
        .filter(|(name, _)| !name.ends_with("_INIT") && *name != "ABI_VERSION")
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The structs that an app fills in: those that begin with their size.
pub fn growing_structs(header: &str) -> Vec<String> {
    let code = code(header);
    let lines: Vec<&str> = code.lines().filter(|line| !line.trim().is_empty()).collect();
    let names = lines.windows(2).filter(|pair| pair[1].trim() == "size_t struct_size;");
    let names: Vec<_> = names.filter_map(|pair| pair[0].strip_prefix("struct ")?.strip_suffix(" {")).collect();
    assert!(names.len() >= 8, "{names:?}");
    names.into_iter().map(str::to_owned).collect()
}

impl Function {
    /// What its comment lacks, of what an app developer has to know.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let mut must = |what: &str, said: bool| {
            if !said {
                missing.push(format!("{}: {what}", self.name));
            }
        };
        let says = |word: &str| self.comment.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == word);
        must("the thread", self.comment.contains("thread"));
        must("what it returns", !self.returns_status || self.statuses().contains(&"INTERNAL"));
        for (kind, name) in &self.parameters {
            if !is_pointer(kind, name) || ["engine", "error", "user_data"].contains(&name.as_str()) {
                continue;
            }
            let owned = match name.as_str() {
                "done" => self.comment.contains("done: called exactly once"),
                "out" => self.comment.contains("out: set to "),
                "function" => says("function"),
                _ if self.name.ends_with("_free") => self.comment.contains("NULL is fine"),
                // Of one that is as another, the other says the rest.
                _ if self.comment.contains("As trill_") => true,
                name => says(name) && ["copied", "read during", "lent"].iter().any(|how| self.comment.contains(how)),
            };
            must(&format!("whose {name} is, and until when"), owned);
        }
        missing
    }

    /// The names of the statuses that it says to return: `"OK"` is understood.
    pub fn statuses(&self) -> Vec<&str> {
        let (_, said) = self.comment.split_once("Status:").unwrap_or_default();
        names(said)
    }

    /// Whether its comment, or what is said of all completions, names that status of its completion's.
    pub fn may_tell(&self, status: &str) -> bool {
        let said = self.comment.split_once("done: called exactly once").map_or("", |(_, rest)| rest);
        let said = said.split_once("Status:").map_or(said, |(said, _)| said);
        let in_a_login = said.contains("for every request to the server");
        let family = |name: &&str| **name == *status || name.ends_with('_') && status.starts_with(*name);
        OF_ALL.contains(&status) || in_a_login && OF_REQUESTS.contains(&status) || names(said).iter().any(family)
    }
}

/// What the group "Status codes" says of all completions.
const OF_ALL: &[&str] = &["OK", "SHUT_DOWN", "INTERNAL"];

/// And of those of requests to the server, whose login or whose server can end meanwhile.
const OF_REQUESTS: &[&str] = &["TOKEN_EXPIRED", "DEVICE_REPLACED", "USER_REMOVED", "SERVER_UNAVAILABLE"];

/// The statuses in a text. `TRILL_STATUS_TOKEN_*` is `TOKEN_`.
fn names(text: &str) -> Vec<&str> {
    let rests = text.split("TRILL_STATUS_").skip(1);
    rests.map(|rest| rest.split(|c: char| !c.is_uppercase() && c != '_').next().unwrap()).collect()
}

/// A program that calls each function with NULL for each of its pointers, and with integers that are no choice, one at a
/// time, and all else in order. It prints each function's name and the name of the status that it returned.
pub fn null_program(header: &str) -> String {
    let mut body = String::new();
    for function in functions(header) {
        let values: Vec<String> = function.parameters.iter().map(|(kind, name)| value(kind, name)).collect();
        for (at, (kind, name)) in function.parameters.iter().enumerate() {
            let optional = MAY_BE_NULL.contains(&name.as_str());
            if kind == "int32_t" && function.returns_status {
                for wrong in ["-1", "99", "INT32_MIN", "INT32_MAX"] {
                    let mut arguments = values.clone();
                    arguments[at] = wrong.into();
                    writeln!(body, "    TOLD({}, {});", function.name, arguments.join(", ")).unwrap();
                }
            }
            if !is_pointer(kind, name) {
                continue;
            }
            let mut arguments = values.clone();
            arguments[at] = "NULL".into();
            let arguments = arguments.join(", ");
            // A free of NULL does nothing.
            let frees = function.name.ends_with("_free");
            if function.returns_status && !optional && !frees {
                writeln!(body, "    REFUSED({}, {arguments});", function.name).unwrap();
            } else if function.returns_status && function.name != "trill_engine_new" {
                writeln!(body, "    TOLD({}, {arguments});", function.name).unwrap();
            } else if function.name != "trill_engine_new" {
                writeln!(body, "    (void){}({arguments});", function.name).unwrap();
            }
        }
    }
    format!(
        "#include \"check.h\"\n\
         static int32_t told(const char *name, int32_t status) {{ printf(\"%s %s\\n\", name, trill_status_name(status)); return status; }}\n\
         #define TOLD(name, ...) (memset(&room, 0, sizeof room), told(#name, name(__VA_ARGS__)))\n\
         #define REFUSED(name, ...) CHECK(TOLD(name, __VA_ARGS__) == TRILL_STATUS_INVALID_ARGUMENT)\n\
         static union {{ void *pointer; uint64_t words[64]; }} room;\n\
         int main(void) {{\n    trill_engine *engine = NULL;\n    trill_video_frame frame = TRILL_VIDEO_FRAME_INIT;\n    \
         trill_call_listener listener = TRILL_CALL_LISTENER_INIT;\n    OK(trill_engine_new(NULL, NULL, &engine, error));\n\
         {body}    CHECK(trill_engine_free(engine) == TRILL_STATUS_OK);\n    printf(\"refused\\n\");\n    return 0;\n}}\n"
    )
}

fn is_pointer(kind: &str, name: &str) -> bool {
    kind.contains('*') || kind.ends_with("_done") || name == "function"
}

fn value(kind: &str, name: &str) -> String {
    if MAY_BE_NULL.contains(&name) {
        return "NULL".into();
    }
    if let Some((_, value)) = MUST_BE_THERE.iter().find(|(known, _)| *known == name) {
        return (*value).into();
    }
    match kind {
        // What a library's own list of one kind is freed by.
        kind if kind.contains('*') => {
            assert!(
                kind.strip_suffix(" *").is_some_and(|owned| owned.starts_with("trill_")),
                "{kind} {name}: say in tests/c_abi/declared.rs whether it may be NULL"
            );
            "NULL".into()
        }
        // Sizes: at least one item, so that its pointer counts. None of what may be absent.
        "size_t" if name == "destination_count" => "0".into(),
        _ => "1".into(),
    }
}
