//! How many files and connections this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use trill::base::{Error, ErrorCode, Result};

/// Makes room for `needed` open files and connections, as far as the system allows. Errors: `configuration`, saying
/// how to allow more; `field` is what asks for so many.
pub fn allow(needed: u64, field: &str) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|now| now >= needed) {
        return Ok(());
    }
    // All that is allowed, and not just what is needed: a limit that is close is met by what nobody thought of.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let now = getrlimit(Resource::Nofile).current;
    if raised.is_ok() && now.is_none_or(|now| now >= needed) {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::Configuration,
        format!(
            "{field} needs {needed} open files, and this process may have {}: raise it with `ulimit -Hn {needed}` as \
             root, LimitNOFILE= in systemd, or --ulimit nofile= in Docker; or ask for less",
            now.map_or_else(|| "no limit".to_owned(), |now| now.to_string())
        ),
    ))
}
