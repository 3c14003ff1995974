//! What each of our steps in the chain of interceptors does, without the queues that all of them need.

use rtc::interceptor::{Interceptor, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::VecDeque;
use std::time::Instant;

/// A step between the network and the pipelines. What it leaves out, it lets pass.
pub(super) trait Stage: Send + Sync {
    /// A packet came from the network. False: it goes no further. What is sent because of it goes to `sent`.
    fn read(&mut self, _packet: &mut TaggedPacket, _sent: &mut VecDeque<TaggedPacket>) -> bool {
        true
    }

    /// A packet is on its way to the network.
    fn write(&mut self, _packet: &mut TaggedPacket) {}

    fn timeout(&mut self, _now: Instant, _sent: &mut VecDeque<TaggedPacket>) {}

    fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// Streams of ours, and of the other side.
    fn bind_local(&mut self, _info: &StreamInfo) {}
    fn unbind_local(&mut self, _info: &StreamInfo) {}
    fn bind_remote(&mut self, _info: &StreamInfo) {}
    fn unbind_remote(&mut self, _info: &StreamInfo) {}
}

/// A [`Stage`] as the chain takes it.
pub(super) struct Staged<S> {
    pub(super) stage: S,
    reading: VecDeque<TaggedPacket>,
    writing: VecDeque<TaggedPacket>,
}

impl<S> Staged<S> {
    pub(super) fn new(stage: S) -> Self {
        Self { stage, reading: VecDeque::new(), writing: VecDeque::new() }
    }
}

impl<S: Stage> Protocol<TaggedPacket, TaggedPacket, ()> for Staged<S> {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        if self.stage.read(&mut packet, &mut self.writing) {
            self.reading.push_back(packet);
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reading.pop_front()
    }

    fn handle_write(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        self.stage.write(&mut packet);
        self.writing.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writing.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.stage.timeout(now, &mut self.writing);
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.stage.next_timeout()
    }
}

impl<S: Stage> Interceptor for Staged<S> {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.stage.bind_local(info);
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.stage.unbind_local(info);
    }

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.stage.bind_remote(info);
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.stage.unbind_remote(info);
    }
}
