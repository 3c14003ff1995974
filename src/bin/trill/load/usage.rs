//! What the server uses: from the system when it runs here, or as it says itself.

use std::time::Duration;
use trill::base::{Error, ErrorCode, Result};
use url::Url;

/// Clock ticks of /proc a second: Linux shows 100 to programs, whatever its kernel was built with.
const TICKS: u64 = 100;

/// Where the server's CPU time and memory are read.
#[derive(Clone)]
pub enum Source {
    Process(u32),
    Metrics(Url),
}

/// Since its start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    pub cpu: Duration,
    /// Resident, in bytes.
    pub memory: u64,
}

impl Source {
    pub fn new(pid: Option<u32>, ring: &Url) -> Self {
        match pid {
            Some(pid) => Self::Process(pid),
            None => {
                let mut url = ring.clone();
                // From ws to http: both are special schemes, so this cannot fail.
                url.set_scheme("http").ok();
                url.set_path("/metrics");
                Self::Metrics(url)
            }
        }
    }

    /// Errors: `invalid_argument` when there is no such process, `server_unreachable`, `malformed`.
    pub async fn read(&self) -> Result<Usage> {
        match self.clone() {
            Self::Process(pid) => of_process(pid),
            Self::Metrics(url) => tokio::task::spawn_blocking(move || of_metrics(&url))
                .await
                .map_err(|e| Error::new(ErrorCode::Internal, format!("reading /metrics: {e}")))?,
        }
    }
}

fn of_process(pid: u32) -> Result<Usage> {
    let bad = |what: String| Error::new(ErrorCode::InvalidArgument, format!("--pid {pid}: {what}"));
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).map_err(|e| bad(e.to_string()));
    // The name is in parentheses, and may hold anything.
    let stat = read("stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    let cpu = ticks(11).zip(ticks(12)).map(|(user, system)| user + system).ok_or_else(|| bad("no CPU time".into()))?;
    let status = read("status")?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    let memory: u64 = memory.ok_or_else(|| bad("no memory: has it ended?".into()))?;
    Ok(Usage { cpu: Duration::from_millis(cpu * 1000 / TICKS), memory: memory * 1024 })
}

fn of_metrics(url: &Url) -> Result<Usage> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(30))).build().into();
    let unreachable = |e: ureq::Error| Error::new(ErrorCode::ServerUnreachable, format!("cannot read {url}: {e}"));
    let text = agent.get(url.as_str()).call().map_err(unreachable)?.body_mut().read_to_string().map_err(unreachable)?;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
        line.ok_or_else(|| Error::new(ErrorCode::Malformed, format!("{url} does not tell {name}; give --pid instead")))
    };
    Ok(Usage {
        cpu: Duration::from_secs_f64(value("process_cpu_seconds_total")?),
        memory: value("process_resident_memory_bytes")? as u64,
    })
}
