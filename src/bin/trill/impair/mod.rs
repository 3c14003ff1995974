//! `trill impair`: a UDP proxy that is a bad network, the same one each time.

mod proxy;

use crate::{output, serve};
use clap::{Args, ValueEnum};
use figment::Figment;
use figment::providers::{Format, Toml};
use proxy::Proxy;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use trill::base::{Error, ErrorCode, Result};
use trill::testkit::impair::{Blackout, Burst, Profile, Schedule, Step};

/// Be a bad network between UDP clients and a server: delay, jitter, loss, a bottleneck, all from a seed
///
/// Clients send to the address that this listens on; each gets a socket of its own towards the server, and a link of
/// its own in each direction. Give the network with options, or with a file of profiles over time.
#[derive(Args)]
pub struct ImpairCommand {
    /// Where clients send to; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The server: host and port
    #[arg(long)]
    upstream: String,
    /// A TOML file with `[both]`, `[up]` or `[down]`, each holding `steps` and `blackouts`
    #[arg(long)]
    file: Option<PathBuf>,
    #[command(flatten)]
    profile: ProfileOptions,
    /// The same seed gives the same network; otherwise one is chosen and printed
    #[arg(long)]
    seed: Option<u64>,
    /// One link for all clients together, instead of one for each
    #[arg(long)]
    shared: bool,
    /// Clients at most; one that was idle for a minute makes room for a new one
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4096))]
    max_clients: u16,
    /// Ends after this time, instead of at Ctrl-C
    #[arg(long, value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Print JSON lines: `listening`, `client`, and `stopped` with the statistics
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[group(id = "profile", multiple = true, conflicts_with = "file")]
struct ProfileOptions {
    /// Which direction the options are for: up is from the clients to the server
    #[arg(long, value_enum, default_value_t = Direction::Both)]
    direction: Direction,
    /// One-way delay, such as 40ms
    #[arg(long, value_parser = humantime::parse_duration)]
    delay: Option<Duration>,
    /// Standard deviation of the delay
    #[arg(long, value_parser = humantime::parse_duration)]
    jitter: Option<Duration>,
    /// Jitter may change the order of packets
    #[arg(long)]
    jitter_reorders: bool,
    /// Packets lost, each by itself, in percent
    #[arg(long, value_name = "PERCENT")]
    loss: Option<f64>,
    /// Packets lost in bursts, in percent
    #[arg(long, value_name = "PERCENT")]
    burst_loss: Option<f64>,
    /// Packets lost in one burst, on average
    #[arg(long, value_name = "PACKETS", default_value_t = 4.0, requires = "burst_loss")]
    burst_length: f64,
    /// Packets that arrive twice, in percent
    #[arg(long, value_name = "PERCENT")]
    duplicate: Option<f64>,
    /// Packets held back so that others overtake them, in percent
    #[arg(long, value_name = "PERCENT")]
    reorder: Option<f64>,
    /// How long they are held back
    #[arg(long, value_parser = humantime::parse_duration, default_value = "20ms", requires = "reorder")]
    reorder_delay: Duration,
    /// The bottleneck, in kbit/s
    #[arg(long, value_name = "KBPS")]
    rate: Option<f64>,
    /// What passes the bottleneck at once after it was idle, in bytes
    #[arg(long, value_name = "BYTES", requires = "rate")]
    bucket: Option<u64>,
    /// What the bottleneck's queue holds, as time at its rate [default: 200ms]
    #[arg(long, value_parser = humantime::parse_duration, requires = "rate")]
    queue: Option<Duration>,
    /// What the bottleneck's queue holds, in bytes
    #[arg(long, value_name = "BYTES", requires = "rate")]
    queue_bytes: Option<u64>,
    /// A time in which nothing passes, as start:length since the first packet, such as 10s:3s; may be repeated
    #[arg(long, value_parser = parse_blackout, value_name = "AT:LENGTH")]
    blackout: Vec<Blackout>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Direction {
    Both,
    Up,
    Down,
}

/// What a file may hold.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkFile {
    both: Option<Schedule>,
    /// From the clients to the server, instead of `both`.
    up: Option<Schedule>,
    /// From the server to the clients, instead of `both`.
    down: Option<Schedule>,
}

impl ImpairCommand {
    pub fn run(self) -> Result<()> {
        output::start_log(self.json, "trill=warn");
        let (up, down) = match &self.file {
            Some(path) => read(path)?,
            None => self.profile.schedules()?,
        };
        let seed = self.seed.unwrap_or_else(|| rand::random::<u32>().into());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::new(ErrorCode::Internal, format!("cannot start: {e}")))?;
        runtime.block_on(async {
            let stop = serve::stop_signal()?;
            let upstream = resolve(&self.upstream).await?;
            let proxy =
                Proxy::bind(self.listen, upstream, [up, down], seed, self.shared, self.max_clients.into()).await?;
            self.tell_start(&proxy, upstream, seed);
            let json = self.json;
            let tell_client = |client: SocketAddr| match json {
                true => output::line(json!({"event": "client", "client": client.to_string()})),
                false => println!("client {client}"),
            };
            let over = async {
                match self.duration {
                    Some(duration) => tokio::time::sleep(duration).await,
                    None => std::future::pending().await,
                }
            };
            let stop = async {
                tokio::select! { _ = stop => {}, () = over => {} }
            };
            let totals = proxy.run(stop, tell_client).await;
            match json {
                true => output::line(json!({"event": "stopped", "seed": seed, "statistics": totals})),
                false => print!("{totals}"),
            }
            Ok(())
        })
    }

    fn tell_start(&self, proxy: &Proxy, upstream: SocketAddr, seed: u64) {
        let listen = proxy.listen_addr();
        let [up, down] = proxy.schedules();
        if self.json {
            output::line(json!({
                "event": "listening", "listen": listen.to_string(), "upstream": upstream.to_string(), "seed": seed,
                "up": up, "down": down,
            }));
            return;
        }
        println!("listening on {listen}, upstream {upstream}, seed {seed}; Ctrl-C ends it");
        for (name, schedule) in [("up", up), ("down", down)] {
            for step in schedule.steps() {
                println!("{name:>5} from {:>6.1} s: {}", step.at_ms as f64 / 1e3, step.profile);
            }
            for blackout in schedule.blackouts() {
                let (at, length) = (blackout.at_ms as f64 / 1e3, blackout.length_ms as f64 / 1e3);
                println!("{name:>5} from {at:>6.1} s: nothing passes for {length:.1} s");
            }
        }
    }
}

impl ProfileOptions {
    fn schedules(&self) -> Result<(Schedule, Schedule)> {
        let ms = |time: Option<Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
        let profile = Profile {
            delay_ms: ms(self.delay),
            jitter_ms: ms(self.jitter),
            jitter_reorders: self.jitter_reorders,
            loss_percent: self.loss.unwrap_or_default(),
            burst: self.burst_loss.map(|loss_percent| Burst { loss_percent, length: self.burst_length }),
            duplicate_percent: self.duplicate.unwrap_or_default(),
            reorder_percent: self.reorder.unwrap_or_default(),
            reorder_delay_ms: if self.reorder.is_some() { ms(Some(self.reorder_delay)) } else { 0.0 },
            rate_kbps: self.rate.unwrap_or_default(),
            bucket_bytes: self.bucket.unwrap_or_default(),
            queue_ms: ms(self.queue),
            queue_bytes: self.queue_bytes.unwrap_or_default(),
        };
        let bad = Schedule::new(vec![Step { at_ms: 0, profile }], self.blackout.clone())?;
        Ok(match self.direction {
            Direction::Both => (bad.clone(), bad),
            Direction::Up => (bad, Schedule::clean()),
            Direction::Down => (Schedule::clean(), bad),
        })
    }
}

fn read(path: &Path) -> Result<(Schedule, Schedule)> {
    let refused = |problem: String| Error::new(ErrorCode::Configuration, format!("{}: {problem}", path.display()));
    if !path.is_file() {
        return Err(refused("there is no such file".into()));
    }
    let file: NetworkFile =
        Figment::from(Toml::file_exact(path)).extract().map_err(|error| refused(error.to_string()))?;
    let both = file.both.unwrap_or_else(Schedule::clean);
    Ok((file.up.unwrap_or_else(|| both.clone()), file.down.unwrap_or(both)))
}

fn parse_blackout(text: &str) -> Result<Blackout, String> {
    let (at, length) = text.split_once(':').ok_or("give start:length, such as 10s:3s")?;
    let ms = |text: &str| {
        humantime::parse_duration(text).map(|time| time.as_millis() as u64).map_err(|error| format!("{text}: {error}"))
    };
    Ok(Blackout { at_ms: ms(at)?, length_ms: ms(length)? })
}

async fn resolve(upstream: &str) -> Result<SocketAddr> {
    let refused = |problem: String| {
        Error::new(ErrorCode::InvalidArgument, format!("--upstream {upstream}: {problem}; give host:port"))
    };
    let mut found = tokio::net::lookup_host(upstream).await.map_err(|error| refused(error.to_string()))?;
    found.next().ok_or_else(|| refused("no address".into()))
}
