//! What an owner sets about webhooks.

use crate::base::Result;
use crate::identity::{KeyRing, WebhookSigner};
use crate::ringing::webhook::NoticeKind;
use crate::server::config::{fault, seconds};
use serde::Deserialize;
use std::fmt;
use std::time::Duration;
use url::Url;

/// Where and how webhooks are delivered. Without a URL there are none.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// Each notice is posted to each of these, `https://...` or `http://...`. Default: none.
    pub urls: Vec<String>,
    /// What signs: `whsec_` and at least 24 bytes in base64. Default: the secrets of the API keys.
    pub secret: Option<String>,
    /// Which events are told. Default: all.
    pub events: Vec<NoticeKind>,
    /// How long one attempt may take. Default 10.
    #[serde(with = "seconds")]
    pub timeout: Duration,
    /// How old a notice may become before it is given up. Default 259200 (3 days).
    #[serde(with = "seconds")]
    pub give_up_after: Duration,
    /// Requests under way at a time, to each URL. Default 16.
    pub concurrency: usize,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            secret: None,
            events: NoticeKind::ALL.to_vec(),
            timeout: Duration::from_secs(10),
            give_up_after: Duration::from_secs(3 * 86_400),
            concurrency: 16,
        }
    }
}

impl WebhookConfig {
    /// Errors: `configuration`, naming the field.
    pub(in crate::server) fn check(&self) -> Result<()> {
        self.parsed_urls()?;
        if let Some(secret) = &self.secret {
            WebhookSigner::new(secret)?;
        }
        if self.events.is_empty() {
            return Err(fault("webhooks.events is empty; leave it out for all events"));
        }
        if !(Duration::from_millis(100)..=Duration::from_secs(120)).contains(&self.timeout) {
            return Err(fault("webhooks.timeout is not from 0.1 to 120 s"));
        }
        if self.give_up_after < Duration::from_secs(60) {
            return Err(fault("webhooks.give_up_after is under 60 s"));
        }
        if !(1..=256).contains(&self.concurrency) {
            return Err(fault("webhooks.concurrency is not from 1 to 256"));
        }
        Ok(())
    }

    pub(super) fn parsed_urls(&self) -> Result<Vec<Url>> {
        let parse = |(index, text): (usize, &String)| {
            let bad = |what: String| fault(format!("webhooks.urls[{index}] {what}"));
            let url = Url::parse(text).map_err(|e| bad(format!("is not a URL: {e}")))?;
            if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
                return Err(bad("must be https://HOST/... or http://HOST/...".into()));
            }
            if !url.username().is_empty() || url.password().is_some() {
                return Err(bad("has a password in it: the signature tells who sends; check that instead".into()));
            }
            Ok(url)
        };
        self.urls.iter().enumerate().map(parse).collect()
    }

    pub(super) fn signer(&self, keys: &KeyRing) -> Result<WebhookSigner> {
        self.secret.as_deref().map_or_else(|| Ok(WebhookSigner::of_keys(keys)), WebhookSigner::new)
    }
}

impl fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookConfig")
            .field("urls", &self.urls.len())
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ErrorCode;

    fn refused(toml: serde_json::Value) -> String {
        let config: WebhookConfig = serde_json::from_value(toml).unwrap();
        let error = config.check().unwrap_err();
        assert_eq!(error.code(), ErrorCode::Configuration);
        error.message().to_owned()
    }

    #[test]
    fn a_bad_field_is_refused_by_name() {
        WebhookConfig::default().check().unwrap();
        for (config, field) in [
            (serde_json::json!({"urls": ["ftp://h/"]}), "urls[0]"),
            (serde_json::json!({"urls": ["https://h/", "nonsense"]}), "urls[1]"),
            (serde_json::json!({"urls": ["https://me:pw@h/"]}), "urls[0]"),
            (serde_json::json!({"secret": "hunter2"}), "secret"),
            (serde_json::json!({"events": []}), "events"),
            (serde_json::json!({"timeout": 0}), "timeout"),
            (serde_json::json!({"give_up_after": 5}), "give_up_after"),
            (serde_json::json!({"concurrency": 0}), "concurrency"),
        ] {
            let message = refused(config);
            assert!(message.contains(&format!("webhooks.{field}")), "{field}: {message}");
            assert!(!message.contains("hunter2") && !message.contains("pw"), "a secret shows: {message}");
        }
        assert!(serde_json::from_value::<WebhookConfig>(serde_json::json!({"events": ["call_lost"]})).is_err());
        assert!(serde_json::from_value::<WebhookConfig>(serde_json::json!({"url": "https://h/"})).is_err());
    }

    #[test]
    fn the_secret_does_not_show_in_debug_output() {
        let config = WebhookConfig { secret: Some("whsec_hunter2".into()), ..WebhookConfig::default() };
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
