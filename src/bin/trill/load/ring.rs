//! `trill load ring`: many devices that are there, and many calls a second between them.

use super::device::{self, Board};
use super::figures::{Quantiles, Report, Server};
use super::target::{Target, bar};
use super::usage::{Source, Usage};
use crate::files;
use crate::keys::KeyOptions;
use crate::output;
use clap::Args;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use trill::base::{Error, ErrorCode, Result, Uid, UnixMillis};
use trill::identity::{ApiKey, UserToken};
use url::Url;

/// How long the tokens of the load's own users are valid.
const TOKEN_TTL: Duration = Duration::from_secs(3600);

/// How long the server is left alone before its memory with idle devices is read.
const SETTLE: Duration = Duration::from_secs(3);

/// How long calls that are under way at the end may take to end.
const DRAIN: Duration = Duration::from_secs(15);

/// How often the server's memory is looked at.
const SAMPLE: Duration = Duration::from_secs(1);

/// Descriptors for all but the devices.
const OTHER_FILES: u64 = 64;

/// Connect many devices to a running server and let them call each other
///
/// Every second device calls the one after it: it rings, is accepted, and is ended after --talk. Latency is from the
/// moment at which a call was due to the moment at which the callee's device has read that it rings, so that a server
/// that falls behind cannot hide it. Users are named load-0, load-1, ...; they and their calls stay in the server's store.
#[derive(Args)]
pub struct RingCommand {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    keys: KeyOptions,
    /// Devices that are connected, each of a user of its own, 2-20000
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=20_000))]
    devices: u32,
    /// Calls a second, 1-5000
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=5000))]
    rate: u32,
    /// How long calls are made, up to 10m
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// How long each call is talked, up to 1m
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    talk: Duration,
    /// Logins under way at a time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    logins: u16,
    /// Print one JSON object instead of progress and a table
    #[arg(long)]
    json: bool,
}

impl RingCommand {
    pub fn run(self) -> Result<()> {
        output::start_log(self.json, "trill=warn");
        let url = self.target.url("/v1/ring")?;
        let key = self.keys.key()?;
        if self.duration > Duration::from_secs(600) || self.talk > Duration::from_secs(60) {
            return Err(Error::new(ErrorCode::InvalidArgument, "--duration is 10m at most, --talk 1m"));
        }
        files::allow(u64::from(self.devices) + OTHER_FILES, "--devices")?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::new(ErrorCode::Internal, format!("cannot start threads: {e}")))?;
        let json = self.json;
        let report = runtime.block_on(self.load(&url, &key))?;
        if json {
            output::line(serde_json::json!(report));
        } else {
            print!("{report}");
        }
        Ok(())
    }

    async fn load(&self, url: &Url, key: &ApiKey) -> Result<Report> {
        let source = Source::new(self.target.pid, url);
        let before = source.read().await?;
        let pairs = self.devices as usize / 2;
        let (board, mut free) = Board::new(pairs);
        let (stop, stopped) = watch::channel(false);
        let mut devices = JoinSet::new();
        let connecting = Instant::now();
        let starts = self.connect(url, key, &board, &stopped, &mut devices).await?;
        let connected_in = connecting.elapsed();
        tokio::time::sleep(SETTLE).await;
        let idle = source.read().await?;

        let sampler = tokio::spawn(peak(source.clone(), stopped.clone()));
        let started = Instant::now();
        let (due, held_back) = self.make_calls(&board, &starts, &mut free).await;
        let took = started.elapsed();
        let after = source.read().await?;
        board.drain(Instant::now() + DRAIN).await;
        stop.send_replace(true);
        while devices.join_next().await.is_some() {}
        let peak = sampler.await.unwrap_or(after.memory);

        let results = board.results();
        Ok(Report {
            devices: self.devices,
            connected_in_s: connected_in.as_secs_f64(),
            lost_connections: results.lost,
            calls_due: due,
            calls_held_back: held_back,
            calls_rung: results.incoming.len() as u64,
            calls_ended: results.ended,
            rate: results.incoming.len() as f64 / took.as_secs_f64(),
            initiate_to_incoming_ms: Quantiles::of(results.incoming),
            accept_to_accepted_ms: Quantiles::of(results.accepted),
            failures: results.failures,
            server: Server {
                cpu_percent: 100.0 * (after.cpu - idle.cpu).as_secs_f64() / took.as_secs_f64(),
                memory_start: before.memory,
                memory_idle: idle.memory,
                memory_peak: peak.max(after.memory),
                memory_per_idle_device: idle.memory.saturating_sub(before.memory) / u64::from(self.devices),
            },
        })
    }

    /// Logs every device in. Returns how to start a call of each pair.
    async fn connect(
        &self,
        url: &Url,
        key: &ApiKey,
        board: &Arc<Board>,
        stopped: &watch::Receiver<bool>,
        devices: &mut JoinSet<()>,
    ) -> Result<Vec<mpsc::Sender<Instant>>> {
        let bar = bar(self.devices.into(), "logging in", self.json);
        let (logins, now) = (Arc::new(Semaphore::new(self.logins.into())), UnixMillis::now());
        let (told, mut results) = mpsc::unbounded_channel();
        let mut starts = Vec::new();
        for index in 0..self.devices as usize {
            let (start, from_main) = mpsc::channel(1);
            if index % 2 == 0 && index + 1 < self.devices as usize {
                starts.push(start);
            }
            let token = UserToken::new(user(index)?).mint(key, now, TOKEN_TTL);
            let settings =
                device::Settings { index, callee: user(index + 1)?, url: url.clone(), token, talk: self.talk };
            let (board, logins, told, stopped) = (board.clone(), logins.clone(), told.clone(), stopped.clone());
            devices.spawn(async move {
                let permit = logins.acquire_owned().await;
                let socket = device::log_in(&settings).await;
                drop(permit);
                // When nobody listens any more, another login has failed.
                let _ = told.send(socket.as_ref().map(drop).map_err(Clone::clone));
                drop(told);
                if let Ok(socket) = socket {
                    device::run(socket, settings, board, from_main, stopped).await;
                }
            });
        }
        drop(told);
        while let Some(result) = results.recv().await {
            result.map_err(|e| e.context(format!("after {} of {} logins", bar.position(), self.devices)))?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(starts)
    }

    /// Starts each call when it is due. Returns how many were, and how many of them found no pair free.
    async fn make_calls(
        &self,
        board: &Board,
        starts: &[mpsc::Sender<Instant>],
        free: &mut mpsc::UnboundedReceiver<usize>,
    ) -> (u64, u64) {
        let bar = bar(self.duration.as_secs(), "calling", self.json);
        let (begin, all) = (Instant::now(), (self.duration.as_secs_f64() * f64::from(self.rate)) as u64);
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let (mut due, mut held_back) = (0, 0);
        while due < all {
            tick.tick().await;
            // The first one at once.
            let by_now = (begin.elapsed().as_secs_f64() * f64::from(self.rate)) as u64 + 1;
            while due < by_now.min(all) {
                let at = begin + Duration::from_secs_f64(due as f64 / f64::from(self.rate));
                due += 1;
                match free.try_recv() {
                    Ok(pair) => {
                        board.starting(pair, at);
                        // A device that is gone is counted as lost.
                        starts[pair].try_send(at).ok();
                    }
                    Err(_) => held_back += 1,
                }
            }
            bar.set_position(begin.elapsed().as_secs());
        }
        bar.finish_and_clear();
        (due, held_back)
    }
}

/// The most memory that the server held until `stopped`.
async fn peak(source: Source, mut stopped: watch::Receiver<bool>) -> u64 {
    let mut peak = 0;
    loop {
        if let Ok(Usage { memory, .. }) = source.read().await {
            peak = peak.max(memory);
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return peak,
            () = tokio::time::sleep(SAMPLE) => {}
        }
    }
}

fn user(index: usize) -> Result<Uid> {
    Uid::new(format!("load-{index}"))
}
