//! The server's owner, who removes users, members and the group while they are in calls.

use super::{CHAOS, Happening, World};
use crate::app::GROUP;
use rand::Rng;
use std::collections::BTreeSet;
use trill::base::{GroupId, Uid};
use trill::ringing::service::Input;
use trill::ringing::{Callee, Group, ReceiverType, User};

/// What the store knows of users and of the group. The owner's changes are in it before the calls hear of them.
pub struct Directory {
    users: BTreeSet<Uid>,
    /// `None`: the owner removed the group.
    members: Option<BTreeSet<Uid>>,
}

impl Directory {
    pub fn new(users: &[Uid]) -> Self {
        Self { users: users.iter().cloned().collect(), members: Some(users.iter().cloned().collect()) }
    }

    pub fn is_removed(&self, uid: &Uid) -> bool {
        !self.users.contains(uid)
    }

    pub fn is_member(&self, uid: &Uid) -> bool {
        self.members.as_ref().is_some_and(|members| members.contains(uid))
    }

    pub fn has_group(&self) -> bool {
        self.members.is_some()
    }

    fn callee(&self, id: &str) -> Option<Callee> {
        if id == GROUP {
            let group = Group { guid: guid(), name: id.to_owned(), avatar: None, metadata: None };
            let members = self.members.as_ref()?.iter().cloned().map(User::new).collect();
            return Some(Callee::Group { group, members });
        }
        self.users.iter().find(|uid| uid.as_str() == id).map(|uid| Callee::User(User::new(uid.clone())))
    }
}

impl World {
    pub(super) fn callee(&self, id: &str) -> Option<Callee> {
        self.directory.callee(id)
    }

    pub(super) fn owner_acts(&mut self) {
        if self.now >= CHAOS {
            return;
        }
        self.plan_next(2_000..30_000, Happening::OwnerActs);
        if self.server.is_none() {
            return;
        }
        let uid = self.users[self.rng.random_range(0..self.users.len())].clone();
        let removed = self.directory.is_removed(&uid);
        let input = match (self.rng.random_range(0..8), &mut self.directory.members) {
            (0, members) if !removed && self.directory.users.len() > 2 => {
                self.directory.users.remove(&uid);
                if let Some(members) = members {
                    members.remove(&uid);
                }
                Input::UserRemoved(uid)
            }
            (1, members @ Some(_)) => {
                *members = None;
                Input::GroupRemoved(guid())
            }
            (_, Some(members)) if members.contains(&uid) => {
                members.remove(&uid);
                Input::MemberRemoved { guid: guid(), uid }
            }
            (_, Some(members)) if !removed => {
                members.insert(uid.clone());
                Input::MemberAdded { guid: guid(), user: User::new(uid) }
            }
            _ => return,
        };
        self.totals.owners_changes += 1;
        self.server_input(input);
    }

    /// The server was killed between a change of the owner's and its effect on calls: it catches up when it starts.
    pub(super) fn owner_acted_before(&mut self) {
        let unfinished = self.store.values().map(|record| &record.call).filter(|call| !call.status.is_over());
        let mut inputs = Vec::new();
        for call in unfinished {
            let group = call.receiver_type == ReceiverType::Group;
            if group && !self.directory.has_group() {
                inputs.push(Input::GroupRemoved(guid()));
            }
            for party in &call.participants {
                if self.directory.is_removed(&party.uid) {
                    inputs.push(Input::UserRemoved(party.uid.clone()));
                } else if group && self.directory.has_group() && !self.directory.is_member(&party.uid) {
                    inputs.push(Input::MemberRemoved { guid: guid(), uid: party.uid.clone() });
                }
            }
        }
        inputs.into_iter().for_each(|input| self.server_input(input));
    }
}

fn guid() -> GroupId {
    GROUP.parse().expect("a group id")
}
