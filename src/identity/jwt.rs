//! JWT, narrowed to what Trill accepts: HS256, a known issuer, a time window.

use crate::base::{Error, ErrorCode, Result, UnixMillis};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fmt;
use std::time::Duration;

/// How far the clocks of minter and verifier may differ.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// The largest token that is looked at, in bytes.
const MAX_TOKEN_LEN: usize = 16 * 1024;

/// The shortest secret a key may have, in bytes: what HS256 needs to be worth its name (RFC 7518, section 3.2).
const MIN_SECRET_LEN: usize = 32;

/// An API key: a public id and the secret that signs.
#[derive(Clone)]
pub struct ApiKey {
    id: String,
    secret: String,
}

impl ApiKey {
    /// Fails with `configuration` when the id is empty or the secret is shorter than 32 bytes (RFC 7518, section 3.2).
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Result<Self> {
        let (id, secret) = (id.into(), secret.into());
        if id.is_empty() {
            return Err(Error::new(ErrorCode::Configuration, "an API key needs an id"));
        }
        if secret.len() < MIN_SECRET_LEN {
            return Err(Error::new(
                ErrorCode::Configuration,
                format!(
                    "the secret of API key {id:?} is shorter than {MIN_SECRET_LEN} bytes; make one with `openssl rand -hex 32`"
                ),
            ));
        }
        Ok(Self { id, secret })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Signs `claims`, adding `iss`, `nbf` and `exp`.
    pub(super) fn sign<C: Serialize>(&self, claims: &C, now: UnixMillis, ttl: Duration) -> String {
        let timed = Timed { iss: &self.id, nbf: now.as_secs(), exp: (now + ttl).as_secs(), claims };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &timed, &EncodingKey::from_secret(self.secret.as_bytes()))
            .expect("claims of our own types serialise, and HS256 takes any secret")
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The keys a server accepts. The first one mints.
#[derive(Clone, Debug)]
pub struct KeyRing {
    keys: Vec<ApiKey>,
}

impl KeyRing {
    pub fn new(first: ApiKey) -> Self {
        Self { keys: vec![first] }
    }

    /// Accepts tokens of one more key; two keys overlap while an owner changes them.
    pub fn add(&mut self, key: ApiKey) {
        self.keys.push(key);
    }

    /// The key that mints.
    pub fn minting(&self) -> &ApiKey {
        &self.keys[0]
    }

    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.secret.as_str())
    }

    /// The claims of a token that is well-formed, signed by one of these keys, and within its time at `now`.
    pub(super) fn verify<C: DeserializeOwned>(&self, token: &str, now: UnixMillis) -> Result<C> {
        let claims = self.verify_signature(token)?;
        check_window(&claims, now)?;
        serde_json::from_value(claims).map_err(|e| malformed(format!("a claim is missing or of the wrong type: {e}")))
    }

    fn verify_signature(&self, token: &str) -> Result<serde_json::Value> {
        if token.is_empty() {
            return Err(ErrorCode::TokenMissing.into());
        }
        if token.len() > MAX_TOKEN_LEN {
            return Err(Error::new(ErrorCode::TooLarge, "the token is over 16 KiB"));
        }
        check_algorithm(token)?;
        let issuer = read_part::<Issuer>(token, 1)?.iss;
        let key = self.keys.iter().find(|key| key.id == issuer).ok_or_else(|| {
            Error::new(ErrorCode::TokenWrongKey, "the token's issuer (iss) is not an API key of this server")
        })?;

        let mut validation = Validation::new(Algorithm::HS256);
        // Time and audience are checked here, not there: the time is an argument.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        jsonwebtoken::decode(token, &DecodingKey::from_secret(key.secret.as_bytes()), &validation)
            .map(|data| data.claims)
            .map_err(|e| match e.kind() {
                jsonwebtoken::errors::ErrorKind::InvalidSignature => {
                    Error::new(ErrorCode::TokenWrongKey, "the token's signature does not match its API key's secret")
                }
                _ => malformed(e.to_string()),
            })
    }
}

#[derive(Serialize)]
struct Timed<'a, C> {
    iss: &'a str,
    nbf: u64,
    exp: u64,
    #[serde(flatten)]
    claims: &'a C,
}

#[derive(Deserialize)]
struct Issuer {
    #[serde(default)]
    iss: String,
}

#[derive(Deserialize)]
struct AlgorithmHeader {
    alg: String,
}

/// Before anything else: `none` and asymmetric algorithms are refused by name (RFC 8725, section 3.1).
fn check_algorithm(token: &str) -> Result<()> {
    if token.split('.').count() != 3 {
        return Err(malformed("it does not have three parts"));
    }
    let header: AlgorithmHeader = read_part(token, 0)?;
    if header.alg != "HS256" {
        return Err(ErrorCode::TokenAlgorithm.into());
    }
    Ok(())
}

fn read_part<T: DeserializeOwned>(token: &str, index: usize) -> Result<T> {
    let part = token.split('.').nth(index).unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed("a part is not base64url"))?;
    serde_json::from_slice(&bytes).map_err(|_| malformed("a part is not the JSON that a JWT has there"))
}

fn check_window(claims: &serde_json::Value, now: UnixMillis) -> Result<()> {
    // NumericDate may have a fraction (RFC 7519, section 2).
    let seconds = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or_else(|| malformed(format!("{name} is not a number"))),
    };
    let (now, leeway) = (now.0 as f64 / 1000.0, LEEWAY.as_secs_f64());
    let exp = seconds("exp")?.ok_or_else(|| malformed("it has no exp claim"))?;
    if now >= exp + leeway {
        return Err(Error::new(ErrorCode::TokenExpired, format!("the token expired {:.0} s ago", now - exp)));
    }
    match seconds("nbf")? {
        Some(nbf) if now + leeway < nbf => Err(Error::new(
            ErrorCode::TokenNotYetValid,
            format!("the token is valid only in {:.0} s; check the clock of the machine that minted it", nbf - now),
        )),
        _ => Ok(()),
    }
}

pub(super) fn malformed(what: impl fmt::Display) -> Error {
    Error::new(ErrorCode::TokenMalformed, format!("the token is malformed: {what}"))
}
