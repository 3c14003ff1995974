//! The API key, as every command takes it.

use clap::Args;
use trill::base::{Error, ErrorCode, Result};
use trill::identity::ApiKey;

/// The key of `trill serve --dev`. Everyone knows it: it is for trying Trill out on one's own machine.
pub const DEV_KEY: (&str, &str) = ("devkey", "trill-development-secret-do-not-deploy");

#[derive(Args, Clone)]
pub struct KeyOptions {
    /// Use the well-known development key of `trill serve --dev`
    #[arg(long)]
    dev: bool,
    /// The API key's id
    #[arg(long, env = "TRILL_API_KEY", conflicts_with = "dev")]
    api_key: Option<String>,
    /// The API key's secret, at least 32 bytes (better given in the environment than here)
    #[arg(long, env = "TRILL_API_SECRET", hide_env_values = true, conflicts_with = "dev")]
    api_secret: Option<String>,
}

impl KeyOptions {
    pub fn dev(&self) -> bool {
        self.dev
    }

    /// The id and the secret, when both were given.
    pub fn pair(&self) -> Option<(String, String)> {
        self.api_key.clone().zip(self.api_secret.clone())
    }

    pub fn key(&self) -> Result<ApiKey> {
        match (self.dev, &self.api_key, &self.api_secret) {
            (true, ..) => dev_key(),
            (false, Some(id), Some(secret)) => ApiKey::new(id, secret),
            _ => Err(Error::new(
                ErrorCode::Configuration,
                "no API key: give --api-key and --api-secret (or TRILL_API_KEY and TRILL_API_SECRET), or --dev",
            )),
        }
    }
}

pub fn dev_key() -> Result<ApiKey> {
    ApiKey::new(DEV_KEY.0, DEV_KEY.1)
}
