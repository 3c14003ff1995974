//! `trill token`: what an app's own backend does, for the owner's hands and for scripts.

use crate::keys::KeyOptions;
use clap::{Args, Subcommand};
use std::collections::BTreeMap;
use std::time::Duration;
use trill::base::{ParticipantIdentity, Result, SessionId, Uid, UnixMillis};
use trill::identity::{AdminToken, SessionToken, UserToken, VideoGrant};

/// Mint a token from the API key and its secret, and print it
#[derive(Args)]
pub struct TokenCommand {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Subcommand)]
enum Kind {
    /// A user token: logs one user in to ringing
    User {
        /// The user's id
        uid: Uid,
        /// The name that others see
        #[arg(long)]
        name: Option<String>,
        /// An https URL of a picture
        #[arg(long)]
        avatar: Option<String>,
        #[command(flatten)]
        mint: MintOptions,
    },
    /// A session token: lets one participant into one session (a LiveKit access token)
    Session {
        /// The session id, which is the room's name
        room: SessionId,
        /// Who joins; unique in the session
        identity: ParticipantIdentity,
        /// The name that others see
        #[arg(long, default_value = "")]
        name: String,
        /// The participant only watches and listens
        #[arg(long)]
        no_publish: bool,
        /// The participant receives no media
        #[arg(long)]
        no_subscribe: bool,
        #[command(flatten)]
        mint: MintOptions,
    },
    /// An admin token: for the owner's backend
    Admin {
        /// Who or what it is for; it stands in the server's log
        name: String,
        #[command(flatten)]
        mint: MintOptions,
    },
}

#[derive(Args)]
struct MintOptions {
    /// How long the token is valid, such as 15m, 12h or 30d
    #[arg(long, default_value = "12h", value_parser = humantime::parse_duration)]
    ttl: Duration,
    #[command(flatten)]
    keys: KeyOptions,
}

impl TokenCommand {
    pub fn run(self) -> Result<()> {
        let now = UnixMillis::now();
        let token = match self.kind {
            Kind::User { uid, name, avatar, mint } => {
                UserToken { uid, name, avatar }.mint(&mint.keys.key()?, now, mint.ttl)
            }
            Kind::Admin { name, mint } => AdminToken { name }.mint(&mint.keys.key()?, now, mint.ttl),
            Kind::Session { room, identity, name, no_publish, no_subscribe, mint } => {
                let video = VideoGrant {
                    room_join: true,
                    room: room.to_string(),
                    can_publish: no_publish.then_some(false),
                    can_subscribe: no_subscribe.then_some(false),
                    ..VideoGrant::default()
                };
                let (metadata, attributes) = (String::new(), BTreeMap::new());
                SessionToken { identity, name, metadata, attributes, video }.mint(&mint.keys.key()?, now, mint.ttl)
            }
        };
        println!("{token}");
        Ok(())
    }
}
