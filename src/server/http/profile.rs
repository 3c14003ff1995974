//! What users and groups have in common: a name, a picture and the owner's own metadata, as an owner gives them.

use crate::base::{Error, ErrorCode, Result};
use crate::server::store::ProfileChange;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// The longest name, in characters.
const MAX_NAME: usize = 256;

/// The longest URL of a picture, in bytes.
const MAX_AVATAR: usize = 2048;

/// The whole profile: what is left out is absent from then on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    pub(super) name: Option<String>,
    pub(super) avatar: Option<String>,
    pub(super) metadata: Option<Map<String, Value>>,
}

/// A JSON merge patch (RFC 7396): what is left out stays, null removes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfilePatch {
    #[serde(default, deserialize_with = "given")]
    name: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    avatar: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    metadata: Option<Option<Map<String, Value>>>,
}

impl Profile {
    /// Errors: `invalid_argument`, `too_large`.
    pub(super) fn check(&self, max_metadata: usize) -> Result<()> {
        check_name(self.name.as_deref())?;
        check_avatar(self.avatar.as_deref())?;
        check_metadata(self.metadata.as_ref(), max_metadata)
    }
}

impl ProfilePatch {
    /// Errors: `invalid_argument`, `too_large`.
    pub(super) fn change(self, max_metadata: usize) -> Result<ProfileChange> {
        check_name(self.name.as_ref().and_then(|name| name.as_deref()))?;
        check_avatar(self.avatar.as_ref().and_then(|avatar| avatar.as_deref()))?;
        check_metadata(self.metadata.as_ref().and_then(Option::as_ref), max_metadata)?;
        let metadata = self.metadata.map(|metadata| metadata.map(Value::Object));
        Ok(ProfileChange { name: self.name, avatar: self.avatar, metadata })
    }
}

fn check_name(name: Option<&str>) -> Result<()> {
    match name {
        Some(name) if name.chars().count() > MAX_NAME => invalid("name is over 256 characters"),
        Some("") => invalid("name is empty; leave it out"),
        Some(name) if name.chars().any(char::is_control) => invalid("name holds a control character"),
        _ => Ok(()),
    }
}

fn check_avatar(avatar: Option<&str>) -> Result<()> {
    let Some(avatar) = avatar else { return Ok(()) };
    if avatar.len() > MAX_AVATAR {
        return invalid("avatar is over 2048 bytes");
    }
    let rest = avatar.strip_prefix("https://").unwrap_or_default();
    match !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(()),
        false => invalid("avatar is not an https URL; what is not ASCII in it is to be percent-encoded"),
    }
}

fn check_metadata(metadata: Option<&Map<String, Value>>, max: usize) -> Result<()> {
    let Some(size) = metadata.and_then(|metadata| serde_json::to_string(metadata).ok()).map(|json| json.len()) else {
        return Ok(());
    };
    if size > max {
        let text = format!("the metadata has {size} bytes of JSON; {max} are the most");
        return Err(Error::new(ErrorCode::TooLarge, text));
    }
    Ok(())
}

fn invalid(what: &str) -> Result<()> {
    Err(Error::new(ErrorCode::InvalidArgument, what))
}

/// Tells null, which removes, from a field that is left out, which stays.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(json: &str) -> Result<()> {
        serde_json::from_str::<Profile>(json).unwrap().check(64)
    }

    #[test]
    fn a_profile_is_checked_field_by_field() {
        profile(r#"{"name":"Bob","avatar":"https://example.org/b.png","metadata":{"team":[1]}}"#).unwrap();
        for bad in [
            r#"{"name":""}"#,
            r#"{"name":"a\u0007"}"#,
            r#"{"avatar":"http://example.org/b.png"}"#,
            r#"{"avatar":"https://"}"#,
            r#"{"avatar":"https://a b"}"#,
        ] {
            assert_eq!(profile(bad).unwrap_err().code(), ErrorCode::InvalidArgument, "{bad}");
        }
        let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(257));
        assert_eq!(profile(&long).unwrap_err().code(), ErrorCode::InvalidArgument);
        let large = format!(r#"{{"metadata":{{"x":"{}"}}}}"#, "x".repeat(64));
        assert_eq!(profile(&large).unwrap_err().code(), ErrorCode::TooLarge);
    }

    #[test]
    fn a_patch_tells_null_from_absent() {
        let patch = serde_json::from_str::<ProfilePatch>(r#"{"name":null}"#).unwrap().change(64).unwrap();
        assert_eq!(patch, ProfileChange { name: Some(None), avatar: None, metadata: None });
        assert!(serde_json::from_str::<ProfilePatch>(r#"{"nmae":"x"}"#).is_err(), "a slip of the pen is told");
    }
}
