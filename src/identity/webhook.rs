//! The signature of webhooks, in the form of Standard Webhooks (standardwebhooks.com), for which there are libraries
//! in every usual language: HMAC-SHA256 over `id.timestamp.body`, so that neither an old nor an altered one passes.

use super::jwt::KeyRing;
use crate::base::{Error, ErrorCode, Result, UnixMillis};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;

/// How a secret begins when the rest is its bytes in base64.
const PREFIX: &str = "whsec_";

/// The shortest secret, in bytes: that of Standard Webhooks.
const MIN_SECRET_LEN: usize = 24;

/// Signs webhooks. With several secrets each signs: a receiver that knows one of them is content.
#[derive(Clone)]
pub struct WebhookSigner {
    secrets: Vec<Vec<u8>>,
}

impl WebhookSigner {
    /// `secret`: `whsec_` and 24 bytes or more in base64. Errors: `configuration`.
    pub fn new(secret: &str) -> Result<Self> {
        let bad = |what: &str| {
            let text = format!(
                "webhooks.secret {what}; make one with: echo whsec_$(openssl rand -base64 32), or leave it out"
            );
            Error::new(ErrorCode::Configuration, text)
        };
        let encoded = secret.strip_prefix(PREFIX).ok_or_else(|| bad("does not begin with whsec_"))?;
        let bytes = STANDARD.decode(encoded).map_err(|_| bad("is not base64 after whsec_"))?;
        if bytes.len() < MIN_SECRET_LEN {
            return Err(bad("is shorter than 24 bytes"));
        }
        Ok(Self { secrets: vec![bytes] })
    }

    /// Signs with the secret of each API key: what receives it may know any of them, so that keys can be changed.
    pub fn of_keys(keys: &KeyRing) -> Self {
        Self { secrets: keys.secrets().map(|secret| secret.as_bytes().to_vec()).collect() }
    }

    /// The value of the header `webhook-signature`: `v1,` and a signature in base64, for each secret.
    pub fn sign(&self, id: &str, at: UnixMillis, body: &[u8]) -> String {
        let signatures = self.secrets.iter().map(|secret| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
            mac.update(format!("{id}.{}.", at.as_secs()).as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for WebhookSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSigner").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ApiKey;

    /// The example that the libraries of Standard Webhooks are tested with.
    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        let signer = WebhookSigner::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = signer.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            UnixMillis::from_secs(1_614_265_330),
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn while_keys_are_changed_each_of_them_signs() {
        let key = |id: &str| ApiKey::new(id, format!("{id} secret that is long enough for HS256")).unwrap();
        let mut keys = KeyRing::new(key("new"));
        let only_new = WebhookSigner::of_keys(&keys).sign("i", UnixMillis(0), b"");
        keys.add(key("old"));
        let both = WebhookSigner::of_keys(&keys).sign("i", UnixMillis(0), b"");
        assert_eq!(both.split(' ').count(), 2);
        assert_eq!(both.split(' ').next(), Some(only_new.as_str()));
    }

    #[test]
    fn a_bad_secret_is_refused_without_being_shown() {
        for bad in ["", "s3cret", "whsec_", "whsec_!!!", "whsec_c2hvcnQ="] {
            let error = WebhookSigner::new(bad).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Configuration);
            assert!(!error.message().contains("s3cret"), "{error}");
        }
    }
}
