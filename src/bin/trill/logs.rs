//! `trill logs`: the call log of a user.

use crate::client::ClientOptions;
use clap::Args;
use serde_json::json;
use trill::base::{Error, ErrorCode, Result, Uid, UnixMillis};
use trill::ringing::wire::WireError;
use trill::ringing::{Call, LogPage};
use url::Url;

/// Show your calls, the newest first
#[derive(Args)]
pub struct LogsCommand {
    #[command(flatten)]
    client: ClientOptions,
    /// Calls on a page, 1-100
    #[arg(long, default_value_t = 30)]
    limit: u32,
    /// Only calls with this user
    #[arg(long)]
    with: Option<Uid>,
    /// Only this status: initiated, ongoing, ended, rejected, busy, cancelled, unanswered or failed
    #[arg(long)]
    status: Option<String>,
    /// Only this direction: incoming or outgoing
    #[arg(long)]
    direction: Option<String>,
    /// The page that an earlier one named
    #[arg(long)]
    cursor: Option<String>,
    /// Print the page as JSON
    #[arg(long)]
    json: bool,
}

impl LogsCommand {
    pub fn run(self) -> Result<()> {
        let body = get(&self.url()?, &self.client.token()?)?;
        let page: LogPage = serde_json::from_str(&body)
            .map_err(|e| Error::new(ErrorCode::Malformed, format!("the server's answer is no page of calls: {e}")))?;
        if self.json {
            println!("{}", json!(page));
            return Ok(());
        }
        if page.calls.is_empty() {
            println!("no calls");
        }
        for call in &page.calls {
            println!("{}", describe(call));
        }
        if let Some(next) = page.next {
            println!("older calls: --cursor {next}");
        }
        Ok(())
    }

    fn url(&self) -> Result<Url> {
        let bad = |e| Error::new(ErrorCode::InvalidArgument, format!("--server {:?}: {e}", self.client.server));
        let server = self.client.server.replacen("ws", "http", usize::from(self.client.server.starts_with("ws")));
        let mut url = Url::parse(&server).map_err(|e| bad(e.to_string()))?;
        url.path_segments_mut()
            .map_err(|()| bad("it cannot have a path".into()))?
            .pop_if_empty()
            .extend(["v1", "calls"]);
        let mut query = url.query_pairs_mut();
        query.append_pair("limit", &self.limit.to_string());
        let optional = [
            ("uid", self.with.as_ref().map(ToString::to_string)),
            ("status", self.status.clone()),
            ("direction", self.direction.clone()),
            ("cursor", self.cursor.clone()),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                query.append_pair(name, &value);
            }
        }
        drop(query);
        Ok(url)
    }
}

/// Errors: `server_unreachable`, `tls_refused`, and what the server refused with.
fn get(url: &Url, token: &str) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct Refusal {
        error: WireError,
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(std::time::Duration::from_secs(10)))
        .build()
        .into();
    let unreachable = |e: ureq::Error| {
        let code = match e {
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) => ErrorCode::TlsRefused,
            _ => ErrorCode::ServerUnreachable,
        };
        Error::new(code, format!("cannot reach {}: {e}", url.origin().ascii_serialization()))
    };
    let mut response =
        agent.get(url.as_str()).header("Authorization", format!("Bearer {token}")).call().map_err(unreachable)?;
    let body = response.body_mut().read_to_string().map_err(unreachable)?;
    if response.status().is_success() {
        return Ok(body);
    }
    match serde_json::from_str::<Refusal>(&body) {
        Ok(refusal) => Err(refusal.error.into()),
        Err(_) => Err(Error::new(ErrorCode::ServerUnreachable, format!("the server answered {}", response.status()))),
    }
}

fn describe(call: &Call) -> String {
    let when = humantime::format_rfc3339_seconds(time_of(call.initiated_at));
    let (from, to) = (&call.initiator.uid, &call.receiver.id);
    let how = match (call.duration_ms, call.end_reason) {
        (0, Some(reason)) => reason.to_string(),
        (0, None) => String::new(),
        (ms, Some(reason)) => format!("{} s, {reason}", ms.div_ceil(1000)),
        (ms, None) => format!("{} s", ms.div_ceil(1000)),
    };
    format!("{when}  {:<5}  {from} -> {to}  {}  {how}", call.call_type.name().to_lowercase(), call.status)
}

fn time_of(at: UnixMillis) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + std::time::Duration::from_millis(at.0)
}
