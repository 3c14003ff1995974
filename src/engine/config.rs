//! What an engine is made with.

use crate::base::DeviceId;

/// How to make an [`Engine`](super::Engine).
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Which of its user's devices this is. An app keeps it, so that a restart is the same device and comes back to its
    /// call. Default: random, that is, a new device each time.
    pub device_id: DeviceId,
    /// A call that comes while this user is in another one rings here, and the app decides. Default: the server
    /// answers it with busy.
    pub call_waiting: bool,
    /// Threads for signalling and packets, 1-16; media has threads of its own. Default 2.
    pub worker_threads: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        let random = format!("device-{:016x}", rand::random::<u64>());
        Self {
            device_id: DeviceId::new(random).expect("hexadecimal digits are a valid id"),
            call_waiting: false,
            worker_threads: 2,
        }
    }
}
