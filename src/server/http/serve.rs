//! The loop that takes connections: each with a limit on how long it may take for the head of a request, and on how long it may take
//! nothing of an answer.

use super::address::Peer;
use super::patient::Patient;
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io::ErrorKind;
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

/// After a failure to take a connection, as when the process has no file handle left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// WebSockets have a limit by themselves, those of ringing the same one, and know more of what it means: theirs comes first.
const LEEWAY: Duration = Duration::from_secs(1);

/// Serves until `stopped` says so, then finishes what is under way.
pub(in crate::server) async fn serve(
    listener: TcpListener,
    router: Router,
    header_timeout: Duration,
    write_timeout: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout);
    // Each connection holds a sender: when all are gone, the receiver ends.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // An error means that the server was dropped.
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, address)) => {
                // Signalling is small messages that answer each other: held back for one another, each costs 40 ms.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY");
                }
                let stream = Patient::new(stream, write_timeout.saturating_add(LEEWAY));
                let serving = connection(builder.clone(), stream, router.clone(), Peer(address.ip()), stopped.clone());
                let open = open.clone();
                tokio::spawn(async move {
                    if let Err(error) = serving.await {
                        tracing::debug!(%error, "an HTTP connection ended");
                    }
                    drop(open);
                });
            }
            // The client was quicker.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(error) => {
                tracing::error!(%error, "cannot take a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop((listener, open));
    all_closed.recv().await;
}

async fn connection(
    builder: http1::Builder,
    stream: Patient<TcpStream>,
    router: Router,
    peer: Peer,
    mut stopped: watch::Receiver<bool>,
) -> hyper::Result<()> {
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request.map(Body::new))
    });
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    tokio::select! {
        ended = &mut serving => return ended,
        _ = stopped.wait_for(|stop| *stop) => serving.as_mut().graceful_shutdown(),
    }
    serving.await
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use bytes::Bytes;
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};
    use tokio::io::AsyncWriteExt;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_client_that_takes_nothing_of_its_answer_is_let_go() {
        let (held, let_go) = oneshot::channel::<()>();
        let held = Arc::new(Mutex::new(Some(held)));
        let endless = move || {
            let held = held.lock().unwrap().take();
            let part = Bytes::from(vec![0; 64 * 1024]);
            let parts = futures_util::stream::unfold((held, part), |(held, part)| async move {
                let next = Ok::<_, Infallible>(part.clone());
                Some((next, (held, part)))
            });
            std::future::ready(Body::from_stream(parts))
        };
        let router = Router::new().route("/", get(endless));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_stop, stopped) = watch::channel(false);
        let (head, write) = (Duration::from_secs(60), Duration::from_millis(100));
        tokio::spawn(serve(listener, router, head, write, stopped));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let gone = tokio::time::timeout(Duration::from_secs(20), let_go).await;
        assert!(gone.expect("its answer is dropped").is_err());
    }
}
