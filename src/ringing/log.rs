//! The call log: what can be asked for, and its pages.

use super::call::{Call, CallStatus, CallType, Category, named};
use crate::base::{Error, ErrorCode, GroupId, Result, Uid, UnixMillis};
use serde::{Deserialize, Serialize};

named! {
    /// Which way a call went, for the user whose log it is.
    Direction {
        Outgoing = "outgoing",
        Incoming = "incoming",
    }
}

/// Which calls a page of the log holds. Newest first. An absent field does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogFilter {
    /// Calls on one page: 1-100, 30 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub call_type: Option<CallType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<CallStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// Calls to or from this other user; in an owner's view of the whole log, the log of this user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<Uid>,
    /// Calls of this group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guid: Option<GroupId>,
    /// Calls with a recording, or those without. This version does not record: with `true` there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<bool>,
    /// Initiated at or after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<UnixMillis>,
    /// Initiated before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixMillis>,
    /// `next` or `previous` of an earlier page with the same filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl LogFilter {
    pub const DEFAULT_LIMIT: u32 = 30;
    pub const MAX_LIMIT: u32 = 100;

    /// Errors: `invalid_argument` when it is out of range.
    pub fn checked_limit(&self) -> Result<u32> {
        match self.limit.unwrap_or(Self::DEFAULT_LIMIT) {
            limit @ 1..=Self::MAX_LIMIT => Ok(limit),
            limit => Err(Error::new(ErrorCode::InvalidArgument, format!("limit is {limit}; it must be from 1 to 100"))),
        }
    }
}

/// One page of the log. Pages stay what they are while calls are added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogPage {
    /// Newest first.
    pub calls: Vec<Call>,
    /// The cursor of the page with older calls; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The cursor of the page with newer calls; absent on the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}
