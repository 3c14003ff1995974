//! `trill probe`: two engines, time-coded media, and what each side noticed of the other's.

mod side;

use crate::keys::KeyOptions;
use crate::output;
use clap::{Args, ValueEnum};
use serde_json::json;
use side::{Found, Side};
use std::time::Duration;
use trill::base::{Error, ErrorCode, ParticipantIdentity, Result, SessionId, UnixMillis};
use trill::identity::SessionToken;

/// How long a token that the probe mints for itself is valid.
const OWN_TOKEN_TTL: Duration = Duration::from_secs(3600);

/// Measure a session from outside: delay, lip sync, loss, freezes, media that goes one way only
///
/// Sends a picture and a tone that carry their time, and reads those of the other side. Both sides run here, unless
/// --side says which one; then start the other on another machine with the same --session. Ends with an error when a
/// medium does not arrive.
#[derive(Args)]
pub struct ProbeCommand {
    /// The server
    #[arg(long, env = "TRILL_SERVER", default_value = "http://127.0.0.1:7880")]
    server: String,
    /// Which side this is
    #[arg(long, value_enum, default_value_t = Which::Both)]
    side: Which,
    /// The session to meet in [default: a new one for --side both]
    #[arg(long)]
    session: Option<SessionId>,
    /// A session token for this side, instead of one minted with the API key
    #[arg(long, env = "TRILL_SESSION_TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[command(flatten)]
    keys: KeyOptions,
    /// How long to measure, once media flows
    #[arg(long, value_parser = humantime::parse_duration, default_value = "10s")]
    duration: Duration,
    /// How long to wait for the other side's media
    #[arg(long, value_parser = humantime::parse_duration, default_value = "30s")]
    wait: Duration,
    #[command(flatten)]
    media: MediaOptions,
    /// Print JSON lines: `measuring` and `report` for each side
    #[arg(long)]
    json: bool,
}

/// What a side sends.
#[derive(Args, Clone)]
struct MediaOptions {
    /// The picture's size in pixels
    #[arg(long, value_parser = parse_size, default_value = "640x360")]
    size: (u32, u32),
    /// Pictures a second
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=120))]
    fps: u32,
    /// What the picture may take, in kbit/s
    #[arg(long, default_value_t = 800, value_parser = clap::value_parser!(u32).range(30..=20_000))]
    video_kbps: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    Both,
    Caller,
    Answerer,
}

impl ProbeCommand {
    pub fn run(self) -> Result<()> {
        output::start_log(self.json, "trill=warn");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|e| Error::new(ErrorCode::Internal, format!("cannot start threads: {e}")))?;
        let found = runtime.block_on(self.measure())?;
        let complaints: Vec<String> = found.iter().flat_map(Found::complaints).collect();
        match complaints.is_empty() {
            true => Ok(()),
            false => Err(Error::new(ErrorCode::MediaUnreachable, complaints.join("; "))),
        }
    }

    async fn measure(&self) -> Result<Vec<Found>> {
        let session = match (&self.session, self.side) {
            (Some(session), _) => session.clone(),
            (None, Which::Both) => SessionId::new(format!("probe-{:08x}", rand::random::<u32>()))?,
            (None, _) => {
                return Err(Error::new(ErrorCode::InvalidArgument, "--side needs --session: where the sides meet"));
            }
        };
        if self.side != Which::Both {
            return Ok(vec![self.one(Which::name(self.side), &session).await?]);
        }
        if self.token.is_some() {
            return Err(Error::new(ErrorCode::InvalidArgument, "one --token lets one side in: give --side as well"));
        }
        let (caller, answerer) = tokio::join!(self.one("caller", &session), self.one("answerer", &session));
        Ok(vec![caller?, answerer?])
    }

    async fn one(&self, name: &'static str, session: &SessionId) -> Result<Found> {
        let token = match &self.token {
            Some(token) => token.clone(),
            None => {
                let identity = ParticipantIdentity::new(format!("probe-{name}"))?;
                let token = SessionToken::for_call(identity, String::new(), session);
                token.mint(&self.keys.key()?, UnixMillis::now(), OWN_TOKEN_TTL)
            }
        };
        let mut side = Side::start(name, &self.server, &token, &self.media)?;
        side.wait_for_media(self.wait).await?;
        match self.json {
            true => output::line(json!({"event": "measuring", "side": name, "session": session})),
            false => println!("{name}: measuring for {:?}", self.duration),
        }
        let found = side.measure(self.duration).await;
        match self.json {
            true => output::line(found.json()),
            false => print!("{found}"),
        }
        Ok(found)
    }
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Answerer => "answerer",
            Self::Both | Self::Caller => "caller",
        }
    }
}

fn parse_size(text: &str) -> Result<(u32, u32), String> {
    text.split_once('x')
        .and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)))
        .ok_or_else(|| "give width and height, such as 640x360".into())
}
