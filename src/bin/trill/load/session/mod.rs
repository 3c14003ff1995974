//! `trill load session`: publishers and subscribers on a running server, and what it costs to forward between them.

mod board;
mod janus;
mod livekit;
mod pacer;
mod participant;
mod payload;
mod report;

use super::target::{Target, bar};
use super::usage::{Source, Usage};
use crate::files;
use crate::keys::KeyOptions;
use crate::output;
use board::Board;
use clap::Args;
use indicatif::ProgressBar;
use pacer::{Pace, Pacer};
use participant::{Participant, Role};
use payload::SHORTEST;
use report::{Report, Server};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use trill::base::{Error, ErrorCode, Result};
use trill::identity::ApiKey;
use url::Url;

/// Participants that come in at a time.
const JOINING: usize = 8;
/// How long each may take until its media flows.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);
/// How long everything runs before it counts: estimates rise, caches fill.
const SETTLE: Duration = Duration::from_secs(3);
/// How long the last packets may take, retransmissions too: at least, and as long as any are missing.
const DRAIN: Duration = Duration::from_millis(500);
const DRAIN_MOST: Duration = Duration::from_secs(5);
/// The most packets that may be forwarded in a second, over all subscribers: more than one machine does.
const MOST_FORWARDED: u64 = 2_000_000;
/// Descriptors for each participant (WebSocket, two UDP sockets), and for all else.
const FILES_EACH: u64 = 3;
const OTHER_FILES: u64 = 64;

/// Let publishers and subscribers meet on a running server, and measure what forwarding costs
///
/// They are real participants (ICE, DTLS and SRTP on UDP sockets of their own) that neither encode nor decode. Publishers
/// send packets evenly, as one video track each, and each subscriber gets all tracks of its room. Added delay is from the
/// publisher's send call to the kernel's time stamp on the packet at the subscriber's socket: how fast this command reads
/// does not count, but it does use the same machine.
#[derive(Args)]
pub struct SessionCommand {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    keys: KeyOptions,
    /// Sessions, each with as many publishers and subscribers as the next options say, 1-100
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    rooms: u16,
    /// Publishers in each session, 1-20
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=20))]
    publishers: u16,
    /// Subscribers in each session, 1-1000
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    subscribers: u16,
    /// Packets a second of each publisher, 1-5000
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=5000))]
    rate: u32,
    /// Payload of a packet in bytes, 38-1100
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u16).range(SHORTEST as i64..=1100))]
    bytes: u16,
    /// How long it is measured, 1s to 10m
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// The server is a Janus with its VideoRoom plugin, and --server its WebSocket; needs --pid, and no key
    #[arg(long, requires = "pid")]
    janus: bool,
    /// Print one JSON object instead of progress and a table
    #[arg(long)]
    json: bool,
}

/// How participants get in.
#[derive(Clone)]
enum Entrance {
    Trill(Url, ApiKey),
    Janus(Url),
}

/// Who is on the server, and what they run in.
struct Crowd {
    board: Arc<Board>,
    publishers: Vec<Arc<Participant>>,
    subscribers: Vec<Arc<Participant>>,
    tasks: JoinSet<()>,
}

impl SessionCommand {
    pub fn run(self) -> Result<()> {
        output::start_log(self.json, "trill=warn");
        let entrance = match self.janus {
            true => Entrance::Janus(self.target.url("/")?),
            false => Entrance::Trill(self.target.url("/rtc")?, self.keys.key()?),
        };
        self.check()?;
        let participants = u64::from(self.rooms) * u64::from(self.publishers + self.subscribers);
        files::allow(participants * FILES_EACH + OTHER_FILES, "--rooms, --publishers and --subscribers")?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::new(ErrorCode::Internal, format!("cannot start threads: {e}")))?;
        let report = runtime.block_on(self.load(&entrance))?;
        if self.json {
            output::line(serde_json::json!(report));
        } else {
            print!("{report}");
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if self.duration < Duration::from_secs(1) || self.duration > Duration::from_secs(600) {
            return Err(Error::new(ErrorCode::InvalidArgument, "--duration is from 1s to 10m"));
        }
        let forwarded = [self.rooms, self.publishers, self.subscribers].map(u64::from).iter().product::<u64>();
        if forwarded * u64::from(self.rate) > MOST_FORWARDED {
            let text = format!(
                "--rooms, --publishers, --subscribers and --rate make {} packets a second to forward; {MOST_FORWARDED} \
                 is the most",
                forwarded * u64::from(self.rate)
            );
            return Err(Error::new(ErrorCode::InvalidArgument, text));
        }
        Ok(())
    }

    async fn load(&self, entrance: &Entrance) -> Result<Report> {
        let (source, this) = (Source::new(self.target.pid, entrance.url()), Source::Process(std::process::id()));
        let before = source.read().await?;
        if let Entrance::Janus(url) = entrance {
            janus::make_rooms(url, self.rooms.into(), self.publishers.into()).await?;
        }
        let mut crowd = Crowd {
            board: Arc::new(Board::new()),
            publishers: Vec::new(),
            subscribers: Vec::new(),
            tasks: JoinSet::new(),
        };
        let local = self.local_address(entrance.url())?;
        self.join(&mut crowd, entrance, local, true).await?;
        let pacer = Pacer::start(crowd.publishers.clone(), self.rate, self.bytes.into());
        tokio::time::sleep(SETTLE).await;
        let with_publishers = source.read().await?;
        self.join(&mut crowd, entrance, local, false).await?;
        tokio::time::sleep(SETTLE).await;

        let (first, first_own) = (source.read().await?, this.read().await?);
        let began = Instant::now();
        pacer.pace(Pace::Measured);
        self.wait(began + self.duration).await;
        pacer.pace(Pace::Unmeasured);
        let took = began.elapsed();
        let (last, last_own) = (source.read().await?, this.read().await?);
        self.drain(&crowd.board).await;
        let sent_late = pacer.stop();
        crowd.tasks.abort_all();
        Ok(self.report(
            &crowd.board,
            [before, with_publishers, first, last],
            last_own.cpu.saturating_sub(first_own.cpu),
            took,
            sent_late,
        ))
    }

    /// Lets the publishers or the subscribers in, and waits until media can flow, or flows.
    async fn join(&self, crowd: &mut Crowd, entrance: &Entrance, local: IpAddr, publishing: bool) -> Result<()> {
        let each = if publishing { self.publishers } else { self.subscribers };
        let all = usize::from(self.rooms) * usize::from(each);
        let bar = bar(all as u64, if publishing { "publishers" } else { "subscribers" }, self.json);
        let mut joining = Vec::new();
        for index in 0..all {
            let (room, number) = (index / usize::from(each), (index % usize::from(each)) as u16);
            let role = Role {
                room,
                publisher: publishing.then_some(number),
                publishers: self.publishers.into(),
                burst: (self.rate / 30).max(1),
                // As time is not exact.
                most: (self.duration.as_secs() + 2) * u64::from(self.rate) + 64,
            };
            let name = format!("{}-{number}", if publishing { "publisher" } else { "subscriber" });
            let participant = entrance.enter(crowd, role, local, name)?;
            joining.push((participant, Instant::now() + JOIN_TIMEOUT));
            let most = if index + 1 == all { 0 } else { JOINING };
            self.until_in(&mut joining, most, &crowd.board, &bar).await?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Waits until no more than `most` of them are still on their way in.
    async fn until_in(
        &self,
        joining: &mut Vec<(Arc<Participant>, Instant)>,
        most: usize,
        board: &Board,
        bar: &ProgressBar,
    ) -> Result<()> {
        loop {
            joining.retain(|(participant, _)| {
                let publishing = participant.role.publisher.is_some();
                let is_in = if publishing { participant.can_send() } else { participant.hears_all() };
                bar.inc(is_in.into());
                !is_in
            });
            if let Some(error) = board.failures().first {
                return Err(error.context(format!("after {} of {} joins", bar.position(), bar.length().unwrap_or(0))));
            }
            if joining.iter().any(|(_, deadline)| Instant::now() > *deadline) {
                let text =
                    "no media came through within 30 s: is the server's UDP port open, and is it not overloaded?";
                return Err(Error::new(ErrorCode::TimedOut, text));
            }
            if joining.len() <= most {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn wait(&self, until: Instant) {
        let bar = bar(self.duration.as_secs(), "measuring", self.json);
        while Instant::now() < until {
            tokio::time::sleep_until((Instant::now() + Duration::from_secs(1)).min(until).into()).await;
            bar.inc(1);
        }
        bar.finish_and_clear();
    }

    /// Waits for the last packets: what a slow server still holds is late, and not lost.
    async fn drain(&self, board: &Board) {
        let until = Instant::now() + DRAIN_MOST;
        tokio::time::sleep(DRAIN).await;
        while board.received.load(Relaxed) < self.due(board) && Instant::now() < until {
            tokio::time::sleep(POLL).await;
        }
    }

    /// What subscribers should get of what was published.
    fn due(&self, board: &Board) -> u64 {
        board.published.load(Relaxed) * u64::from(self.subscribers)
    }

    fn report(&self, board: &Board, usages: [Usage; 4], own: Duration, took: Duration, sent_late: u64) -> Report {
        let [before, with_publishers, first, last] = usages;
        let (rooms, subscribers) = (usize::from(self.rooms), usize::from(self.subscribers));
        let (due, forwarded) = (self.due(board), board.received.load(Relaxed));
        let cpu = last.cpu.saturating_sub(first.cpu);
        let share = |part: f64, whole: u64| if whole == 0 { 0.0 } else { part / whole as f64 };
        Report {
            rooms,
            publishers: rooms * usize::from(self.publishers),
            subscribers: rooms * subscribers,
            payload_bytes: self.bytes.into(),
            measured_s: took.as_secs_f64(),
            packets_published: board.published.load(Relaxed),
            packets_due: due,
            packets_forwarded: forwarded,
            packets_repeated: board.repeated.load(Relaxed),
            loss_percent: 100.0 * share(due.saturating_sub(forwarded) as f64, due),
            added_delay_ms: board.delays.quantiles(),
            sent_late,
            server: Server {
                cpu_percent: 100.0 * cpu.as_secs_f64() / took.as_secs_f64(),
                cpu_us_per_packet: share(cpu.as_secs_f64() * 1e6, forwarded),
                memory_start: before.memory,
                memory_publishers: with_publishers.memory,
                memory_end: last.memory,
                memory_per_subscriber: last.memory.saturating_sub(with_publishers.memory)
                    / (rooms * subscribers) as u64,
            },
            load_cpu_percent: 100.0 * own.as_secs_f64() / took.as_secs_f64(),
            failures: board.failures().counts,
        }
    }

    /// The address of this machine from which the server is reached.
    fn local_address(&self, url: &Url) -> Result<IpAddr> {
        let unreachable = |e: std::io::Error| Error::new(ErrorCode::ServerUnreachable, format!("{url}: {e}"));
        let server = url.socket_addrs(|| None).map_err(unreachable)?;
        let any: SocketAddr = match server.first() {
            Some(address) if address.is_ipv6() => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
            _ => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).map_err(unreachable)?;
        socket.connect(server.as_slice()).map_err(unreachable)?;
        Ok(socket.local_addr().map_err(unreachable)?.ip())
    }
}

impl Entrance {
    fn url(&self) -> &Url {
        let (Self::Trill(url, _) | Self::Janus(url)) = self;
        url
    }

    /// Starts a participant. What becomes of it stands on the board.
    fn enter(&self, crowd: &mut Crowd, role: Role, local: IpAddr, name: String) -> Result<Arc<Participant>> {
        let publishes = role.publisher.is_some();
        // Trill gives every participant something to receive on, Janus only subscribers.
        let receives = !publishes || matches!(self, Self::Trill(..));
        let participant = Arc::new(Participant::new(role, local, (publishes, receives), crowd.board.clone())?);
        let (entrance, media, board) = (self.clone(), participant.clone(), crowd.board.clone());
        crowd.tasks.spawn(async move {
            let error = tokio::select! {
                error = media.run() => error,
                Err(error) = entrance.signal(&name, &media) => error,
            };
            board.failed(&error);
        });
        let its_kind = if publishes { &mut crowd.publishers } else { &mut crowd.subscribers };
        its_kind.push(participant.clone());
        Ok(participant)
    }

    async fn signal(&self, name: &str, participant: &Participant) -> Result<()> {
        match self {
            Self::Trill(url, key) => livekit::stay(url, key, name, participant).await,
            Self::Janus(url) => janus::stay(url, participant).await,
        }
    }
}
