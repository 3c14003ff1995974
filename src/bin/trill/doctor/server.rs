//! The server over HTTP and WebSocket, the clock against its, and the token.

use super::{Finding, Verdict};
use crate::client::ClientOptions;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use trill::base::{DeviceId, ErrorCode, UnixMillis};
use trill::engine::{Engine, EngineConfig};
use url::Url;

/// For any one answer.
const PATIENCE: Duration = Duration::from_secs(8);
/// A clock that is wrong by more is a fault: tokens are refused as expired or not yet valid.
const SKEW_FAULT: Duration = Duration::from_secs(60);
/// And by more than this, a warning.
const SKEW_WARNING: Duration = Duration::from_secs(5);

/// A server that answers.
pub struct Reached {
    /// Its clock is so many milliseconds ahead of ours.
    ahead_ms: i64,
}

/// HTTP and clock.
pub fn check_http(server: &str, tell: &mut impl FnMut(Finding)) -> Option<Reached> {
    let url = match http_url(server) {
        Ok(url) => url,
        Err(problem) => {
            tell(Finding::fault(
                "server",
                format!("{server:?} is no server's URL: {problem}"),
                "give --server http(s)://HOST:PORT",
            ));
            return None;
        }
    };
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into();
    let asked = SystemTime::now();
    let mut response = match agent.get(url.as_str()).call() {
        Ok(response) => response,
        Err(error) => {
            let (cause, remedy) = why_unreachable(&url, &error);
            tell(Finding::fault("server", cause, remedy));
            return None;
        }
    };
    let took = asked.elapsed().unwrap_or_default();
    let date = response.headers().get("date").and_then(|date| date.to_str().ok()).map(str::to_owned);
    let body: serde_json::Value =
        response.body_mut().read_to_string().ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    if !response.status().is_success() || body["status"] != "ok" {
        let status = response.status();
        let cause = format!("{} answers {status}, and not as Trill's server does", url.origin().ascii_serialization());
        tell(Finding::fault(
            "server",
            cause,
            "check host and port, and what the proxy before it passes on; see the server's log",
        ));
        return None;
    }
    let version = body["version"].as_str().unwrap_or("?");
    tell(Finding::ok("server", format!("version {version} answers over HTTP in {} ms", took.as_millis())));

    let theirs = date.and_then(|date| httpdate(&date));
    let Some(theirs) = theirs else {
        tell(Finding::skipped("clock", "the server's answer has no date", "a proxy may have taken it out"));
        return Some(Reached { ahead_ms: 0 });
    };
    // A header's date is cut to whole seconds.
    let theirs = theirs + Duration::from_millis(500);
    let ours = asked + took / 2;
    let ahead_ms = match theirs.duration_since(ours) {
        Ok(ahead) => ahead.as_millis() as i64,
        Err(behind) => -(behind.duration().as_millis() as i64),
    };
    let off = Duration::from_millis(ahead_ms.unsigned_abs());
    let side = if ahead_ms > 0 { "behind" } else { "ahead of" };
    let cause = format!("this machine's clock is {:.1} s {side} the server's", off.as_secs_f64());
    let remedy = "set the clock by NTP (`timedatectl set-ntp true`), here or at the server, whichever is wrong";
    tell(match off {
        off if off > SKEW_FAULT => Finding::fault("clock", cause, remedy),
        off if off > SKEW_WARNING => Finding::new("clock", Verdict::Warning, cause, remedy),
        _ => Finding::ok("clock", "this machine's and the server's agree to the second"),
    });
    Some(Reached { ahead_ms })
}

/// The token, by its own words and by the server's; and with it the WebSocket.
pub fn check_token(client: &ClientOptions, reached: &Reached, tell: &mut impl FnMut(Finding)) {
    let token = match client.token() {
        Ok(token) => token,
        Err(error) => {
            tell(Finding::skipped("token", error.message(), "with one, it and the WebSocket are checked"));
            tell(Finding::skipped("websocket", "it needs a token", "see above"));
            return;
        }
    };
    if let Some((cause, remedy)) = out_of_time(&token, reached) {
        tell(Finding::fault("token", cause, remedy));
        tell(Finding::skipped("websocket", "it needs a token that is valid", "see above"));
        return;
    }
    let device = DeviceId::new(format!("doctor-{:08x}", rand::random::<u32>()));
    let logged_in =
        device.and_then(|device_id| Engine::with_queue(EngineConfig { device_id, ..EngineConfig::default() }));
    let logged_in = logged_in.and_then(|(engine, _queue)| {
        let user = engine.log_in(&client.server, token).wait()?;
        let _ = engine.log_out().wait();
        engine.shut_down();
        Ok(user)
    });
    match logged_in {
        Ok(user) => {
            tell(Finding::ok("token", format!("the server takes it: user {}", user.uid)));
            tell(Finding::ok("websocket", "opened, and logged in over it"));
        }
        Err(error) if error.code().name().starts_with("token_") => {
            let remedy = match error.code() {
                ErrorCode::TokenWrongKey => {
                    "mint it with the server's API key and secret: `trill token user`, or your backend"
                }
                _ => "get a new one from your backend, or with `trill token user`",
            };
            tell(Finding::fault("token", error.message(), remedy));
            tell(Finding::ok("websocket", "the server answered on it"));
        }
        Err(error) => {
            tell(Finding::skipped("token", "the server could not be asked", "see the WebSocket"));
            let remedy =
                "HTTP works and WebSocket does not: let the proxy pass `Upgrade: websocket` on for /v1/ring and /rtc";
            tell(Finding::fault("websocket", error.message(), remedy));
        }
    }
}

/// What a token says of itself, by the server's clock.
fn out_of_time(token: &str, reached: &Reached) -> Option<(String, String)> {
    use base64::Engine as _;
    let claims = token.split('.').nth(1)?;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let now = UnixMillis::now().0 as i64 + reached.ahead_ms;
    let at = |name: &str| claims[name].as_i64().map(|seconds| seconds.saturating_mul(1000));
    let ago = |ms: i64| humantime::format_duration(Duration::from_secs(ms.unsigned_abs() / 1000)).to_string();
    if let Some(expired) = at("exp").filter(|at| *at <= now) {
        let cause = format!("it expired {} ago, by the server's clock", ago(now - expired));
        return Some((cause, "get a new one from your backend, or with `trill token user`".into()));
    }
    if let Some(begins) = at("nbf").filter(|at| *at > now + SKEW_FAULT.as_millis() as i64) {
        let cause = format!("it is valid only in {}, by the server's clock", ago(begins - now));
        return Some((cause, "set the clock of the machine that minted it".into()));
    }
    None
}

fn http_url(server: &str) -> Result<Url, String> {
    let mut url = Url::parse(server).map_err(|e| e.to_string())?;
    let scheme = match url.scheme() {
        "http" | "ws" => "http",
        "https" | "wss" => "https",
        other => return Err(format!("{other} is not http, https, ws or wss")),
    };
    url.set_scheme(scheme).map_err(|()| "its scheme is not http".to_owned())?;
    url.path_segments_mut().map_err(|()| "it has no host".to_owned())?.pop_if_empty().push("healthz");
    Ok(url)
}

fn why_unreachable(url: &Url, error: &ureq::Error) -> (String, String) {
    let origin = url.origin().ascii_serialization();
    let remedy = match error {
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => {
            "the certificate is not trusted here: renew it, or add its authority to this machine's".into()
        }
        ureq::Error::HostNotFound => "no such host: check the name and DNS".into(),
        ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
            format!(
                "nothing listens at port {}: is `trill serve` running there?",
                url.port_or_known_default().unwrap_or(0)
            )
        }
        _ => "check the address, and that firewalls let TCP through".to_owned(),
    };
    (format!("{origin} is not reached: {error}"), remedy)
}

/// RFC 9110, section 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn httpdate(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split(' ').skip(1);
    let day: u32 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let year: u32 = words.next()?.parse().ok()?;
    let time = words.next()?;
    let since = humantime::parse_rfc3339(&format!("{year:04}-{month:02}-{day:02}T{time}Z")).ok()?;
    (since > UNIX_EPOCH).then_some(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_of_http_is_read() {
        let at = httpdate("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(at.duration_since(UNIX_EPOCH).unwrap().as_secs(), 784_111_777);
        for wrong in ["", "yesterday", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT"] {
            assert_eq!(httpdate(wrong), None, "{wrong}");
        }
    }
}
