//! The server that is loaded: where it is, and how to get in.

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::net::ToSocketAddrs;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use trill::base::{Error, ErrorCode, Result};
use url::Url;

/// What a socket reads at a time: the messages are small, and the connections many.
const READ_BUFFER: usize = 4096;

#[derive(Args)]
pub struct Target {
    /// The server; one on this machine, unless --not-loopback is given
    #[arg(long, env = "TRILL_SERVER", default_value = "http://127.0.0.1:7880")]
    server: String,
    /// The server's process on this machine: its CPU and memory are read from the system instead of from /metrics
    #[arg(long)]
    pub pid: Option<u32>,
    /// The server is not on this machine, is mine, and may be loaded
    #[arg(long)]
    not_loopback: bool,
}

impl Target {
    /// The WebSocket's URL. Errors: `invalid_argument`, also for a server elsewhere without leave.
    pub fn url(&self, path: &str) -> Result<Url> {
        let bad = |what: String| Error::new(ErrorCode::InvalidArgument, format!("--server {:?} {what}", self.server));
        let text = self.server.replacen("http", "ws", usize::from(self.server.starts_with("http")));
        let mut url = Url::parse(&text).map_err(|e| bad(e.to_string()))?;
        if url.scheme() != "ws" {
            return Err(bad("must be http:// or ws://: measure behind the TLS proxy".into()));
        }
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
        let host = host.trim_matches(['[', ']']);
        let addresses = (host, port).to_socket_addrs().map_err(|e| bad(format!("has no address: {e}")))?;
        if !self.not_loopback && addresses.into_iter().any(|address| !address.ip().is_loopback()) {
            return Err(bad("is not on this machine; --not-loopback if it is yours and may be loaded".into()));
        }
        url.set_path(path);
        Ok(url)
    }
}

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens a WebSocket: `request` is `url`, with whatever else it needs. Errors: `server_unreachable`, `too_many_requests`.
pub async fn connect(url: &Url, request: impl IntoClientRequest + Unpin) -> Result<Socket> {
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
    let connected = connect_async_with_config(request, Some(config), true).await;
    connected.map(|(socket, _)| socket).map_err(|error| refused(url, &error))
}

/// Why a WebSocket broke or could not be opened.
pub fn refused(url: &Url, error: &WsError) -> Error {
    // Without its query, in which there may be a token.
    let mut place = url.clone();
    place.set_query(None);
    match error {
        WsError::Http(answer) if answer.status() == StatusCode::TOO_MANY_REQUESTS => Error::new(
            ErrorCode::TooManyRequests,
            "the server takes no more logins from one address: raise its limits.address_logins_per_second for the time \
             of the load (TRILL_LIMITS__ADDRESS_LOGINS_PER_SECOND)",
        ),
        WsError::Http(answer) => {
            let said = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            let text = format!("{place} refuses: {} {}", answer.status(), said.chars().take(300).collect::<String>());
            Error::new(ErrorCode::ServerUnreachable, text)
        }
        error => Error::new(ErrorCode::ServerUnreachable, format!("cannot connect to {place}: {error}")),
    }
}

/// How far it is, for people; nothing with `--json`.
pub fn bar(length: u64, what: &'static str, json: bool) -> ProgressBar {
    let bar = ProgressBar::new(length).with_message(what);
    if json {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("{msg:>10} {wide_bar} {pos}/{len}  {elapsed}") {
        bar.set_style(style);
    }
    bar
}
