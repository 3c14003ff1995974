//! The way of media: UDP to the server, and to a TURN server.

use super::Finding;
use crate::client::ClientOptions;
use std::net::{ToSocketAddrs, UdpSocket};
use std::time::Duration;
use tokio::sync::mpsc;
use trill::base::{ErrorCode, ParticipantIdentity, Result, SessionId, UnixMillis};
use trill::engine::session::{self, SessionSettings, Told};
use trill::identity::SessionToken;
use trill::session::SessionEvent;

const PATIENCE: Duration = Duration::from_secs(25);
const TOKEN_TTL: Duration = Duration::from_secs(120);
const TURN_PORT: u16 = 3478;
/// STUN over UDP is sent again after these times (RFC 8489, section 6.2.1, shortened).
const RETRANSMIT: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// Joins a room of its own and waits for its media connection: ICE, DTLS, all of it.
pub fn check_udp(client: &ClientOptions, tell: &mut impl FnMut(Finding)) {
    let Some(key) = client.key() else {
        let cause = "a session of its own, over which UDP is checked, needs the server's API key";
        tell(Finding::skipped("udp", cause, "run it once with --api-key and --api-secret (or --dev)"));
        return;
    };
    let outcome = key.and_then(|key| {
        let room = SessionId::new(format!("doctor-{:016x}", rand::random::<u64>()))?;
        let token = SessionToken::for_call(ParticipantIdentity::new("doctor")?, String::new(), &room);
        connect(&client.server, &token.mint(&key, UnixMillis::now(), TOKEN_TTL))
    });
    tell(match outcome {
        Ok(rtt_ms) => Finding::ok("udp", format!("media is connected; {rtt_ms:.0} ms there and back")),
        Err(error) if matches!(error.code(), ErrorCode::MediaUnreachable | ErrorCode::TimedOut) => Finding::fault(
            "udp",
            format!("the server answers, and its media port does not: {}", error.message()),
            "let UDP through to the server's media port (7882 unless it was set) in every firewall, and see that the server \
             names the address at which it is reached (docs/operations.md)",
        ),
        Err(error) => Finding::fault("udp", error.message(), "see the checks above"),
    });
}

/// Milliseconds there and back.
fn connect(server: &str, token: &str) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|e| trill::base::Error::new(ErrorCode::Internal, e.to_string()))?;
    let outcome = runtime.block_on(async {
        let (told, mut events) = mpsc::unbounded_channel();
        let tell = move |tells| {
            if let Told::Event(event) = tells {
                drop(told.send(event));
            }
        };
        let handle =
            session::start(server, token, SessionSettings::default(), tell, &tokio::runtime::Handle::current())?;
        let connected = async {
            while let Some(event) = events.recv().await {
                match event {
                    SessionEvent::Connected => return Ok(()),
                    SessionEvent::Ended { reason, error } => {
                        let error = error.or_else(|| reason.error());
                        return Err(error.unwrap_or_else(|| ErrorCode::ConnectionLost.into()));
                    }
                    _ => {}
                }
            }
            Err(ErrorCode::ConnectionLost.into())
        };
        let outcome = tokio::time::timeout(PATIENCE, connected).await;
        let stats = handle.stats().await.unwrap_or_default();
        let _ = handle.leave().await;
        match outcome {
            Ok(connected) => connected.map(|()| stats.signal_rtt_ms as f64),
            Err(_) => Err(ErrorCode::MediaUnreachable.into()),
        }
    });
    // A name that is being looked up cannot be called off.
    runtime.shutdown_background();
    outcome
}

/// An Allocate request without credentials: a TURN server answers that it wants some (RFC 8656, section 7.2).
pub fn check_turn(url: &str) -> Finding {
    let remedy = "check host and port, and let UDP through to it";
    let Some(address) = url.strip_prefix("turn:").map(|rest| rest.split('?').next().unwrap_or(rest)) else {
        return Finding::fault("turn", format!("{url:?} is no turn:HOST:PORT"), "only TURN over UDP is checked");
    };
    let host = if address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        address.to_owned()
    } else {
        format!("{address}:{TURN_PORT}")
    };
    match ask_turn(&host) {
        Ok(true) => Finding::ok("turn", format!("a TURN server answers at {host}")),
        Ok(false) => Finding::fault("turn", format!("what answers at {host} is no TURN server"), remedy),
        Err(error) => Finding::fault("turn", format!("no answer from {host} over UDP: {error}"), remedy),
    }
}

fn ask_turn(host: &str) -> std::io::Result<bool> {
    let address = host.to_socket_addrs()?.next().ok_or(std::io::ErrorKind::NotFound)?;
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    let request = allocate(rand::random());
    let mut answer = [0; 1500];
    let mut failed = std::io::Error::from(std::io::ErrorKind::TimedOut);
    for wait in RETRANSMIT {
        socket.send(&request)?;
        socket.set_read_timeout(Some(wait))?;
        match socket.recv(&mut answer) {
            Ok(length) => return Ok(is_turn(&answer[..length], &request)),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn allocate(transaction: [u8; 12]) -> Vec<u8> {
    let mut request = vec![0x00, 0x03, 0x00, 0x08, 0x21, 0x12, 0xa4, 0x42];
    request.extend(transaction);
    // REQUESTED-TRANSPORT: UDP.
    request.extend([0x00, 0x19, 0x00, 0x04, 17, 0, 0, 0]);
    request
}

/// An Allocate response, success or error, to that request.
fn is_turn(answer: &[u8], request: &[u8]) -> bool {
    answer.len() >= 20 && matches!(answer[..2], [0x01, 0x03 | 0x13]) && answer[4..20] == request[4..20]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_turn_server_is_told_from_something_else_and_from_nothing() {
        for (kind, verdict) in [([0x01, 0x13], Verdict::Ok), ([0x01, 0x01], Verdict::Fault)] {
            let server = UdpSocket::bind("127.0.0.1:0").unwrap();
            let url = format!("turn:{}", server.local_addr().unwrap());
            let asked = std::thread::spawn(move || check_turn(&url));
            let mut request = [0; 100];
            let (length, from) = server.recv_from(&mut request).unwrap();
            assert_eq!(length, 28);
            let mut answer = request[..20].to_vec();
            answer[..4].copy_from_slice(&[kind[0], kind[1], 0, 0]);
            server.send_to(&answer, from).unwrap();
            assert_eq!(asked.join().unwrap().verdict, verdict);
        }
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let finding = check_turn(&format!("turn:{}", silent.local_addr().unwrap()));
        assert_eq!(finding.verdict, Verdict::Fault);
        assert!(finding.cause.contains("no answer"), "{}", finding.cause);
        assert_eq!(check_turn("https://example.org").verdict, Verdict::Fault);
    }
}
