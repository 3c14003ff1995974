//! What `trill call`, `answer` and `logs` have in common: the server, and who one is.

use crate::keys::{KeyOptions, dev_key};
use clap::Args;
use std::time::Duration;
use trill::base::{Error, ErrorCode, Result, Uid, UnixMillis};
use trill::identity::{ApiKey, UserToken};

/// How long a token that a command mints for itself is valid.
const OWN_TOKEN_TTL: Duration = Duration::from_secs(24 * 3600);

#[derive(Args)]
pub struct ClientOptions {
    /// The server
    #[arg(long, env = "TRILL_SERVER", default_value = "http://127.0.0.1:7880")]
    pub server: String,
    /// A user token, as your backend or `trill token user` mints it
    #[arg(long, env = "TRILL_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Instead of a token: mint one for this user, with the API key or with --dev
    #[arg(long = "as", value_name = "UID", conflicts_with = "token")]
    uid: Option<Uid>,
    #[command(flatten)]
    keys: KeyOptions,
}

impl ClientOptions {
    /// The API key, where one was given.
    pub fn key(&self) -> Option<Result<ApiKey>> {
        (self.keys.dev() || self.keys.pair().is_some()).then(|| self.keys.key())
    }

    pub fn token(&self) -> Result<String> {
        // --as goes before a token that happens to be in the environment.
        match (&self.uid, &self.token) {
            (Some(uid), _) => {
                let key = if self.keys.dev() { dev_key()? } else { self.keys.key()? };
                Ok(UserToken::new(uid.clone()).mint(&key, UnixMillis::now(), OWN_TOKEN_TTL))
            }
            (None, Some(token)) => Ok(token.clone()),
            (None, None) => Err(Error::new(
                ErrorCode::TokenMissing,
                "who are you? Give --token (or TRILL_TOKEN), or --as UID with --dev or an API key",
            )),
        }
    }
}
