//! Pages of users, groups and members: in the order of their ids, after a given one. So they stay what they are while
//! others are added.

use crate::base::{Error, ErrorCode, Result};
use crate::ringing::LogFilter;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery<I> {
    limit: Option<u32>,
    /// The last one of the page before.
    pub(super) after: Option<I>,
}

impl<I> PageQuery<I> {
    /// As many on a page as in the call log: 1-100, 30 when absent. Errors: `invalid_argument`.
    pub(super) fn limit(&self) -> Result<usize> {
        match self.limit.unwrap_or(LogFilter::DEFAULT_LIMIT) {
            limit @ 1..=LogFilter::MAX_LIMIT => Ok(limit as usize),
            limit => Err(Error::new(ErrorCode::InvalidArgument, format!("limit is {limit}; it must be from 1 to 100"))),
        }
    }
}

/// The id that the next page comes after, if `items`, read with one more than `limit`, show that there is one.
pub(super) fn next_of<T, I>(items: &mut Vec<T>, limit: usize, id: impl Fn(&T) -> I) -> Option<I> {
    let more = items.len() > limit;
    items.truncate(limit);
    items.last().filter(|_| more).map(id)
}
