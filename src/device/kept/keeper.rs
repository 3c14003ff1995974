//! Keeps a device: opens it, notices that it is gone, finds it or another one again.

use super::control::Choice;
use super::{DeviceChange, DeviceControl, DevicePolicy, DeviceTell};
use crate::base::{Error, ErrorCode, Result};
use crossbeam_channel::{Receiver, TryRecvError, bounded};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is looked whether the default has changed, or the chosen device is back.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long after a failure a device is looked for again: at once, then with these pauses, of which the last stays.
const RETRY: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// A search takes some 10 ms. After so long the system's library hangs: the app is told, and no other search is begun, which would hang
/// as well.
const SEARCH_WITHIN: Duration = Duration::from_secs(10);

/// Where devices of one kind come from. Called on threads of their own; it may block.
pub(super) trait Shop<D>: Send + Sync + 'static {
    /// The one of that name or id, or the default one.
    fn open(&self, name: Option<&str>) -> Result<Opened<D>>;

    /// The id of the default one.
    fn default_id(&self) -> Option<String>;
}

pub(super) struct Opened<D> {
    pub(super) device: D,
    pub(super) name: String,
    pub(super) id: String,
}

pub(super) struct Keeper<D: Send + 'static> {
    shop: Arc<dyn Shop<D>>,
    control: Arc<DeviceControl>,
    tell: DeviceTell,
    version: u32,
    choice: Choice,
    current: Option<Current<D>>,
    /// To be closed before another one is opened: some can be open only once.
    retired: Option<D>,
    search: Option<Receiver<Found<D>>>,
    search_began: Instant,
    next_search: Instant,
    failures: usize,
    /// The app knows that there is none.
    told_lost: bool,
    given_up: bool,
    closed: bool,
}

struct Current<D> {
    opened: Opened<D>,
    /// It is not the one that was chosen.
    stand_in: bool,
    /// The app knows that it is used.
    told: bool,
}

enum Found<D> {
    Device(Opened<D>),
    /// The default one, because the chosen one failed so.
    Instead(Opened<D>, Error),
    /// The present one is still the right one.
    NoOther,
    Nothing(Error),
}

impl<D: Send + 'static> Keeper<D> {
    /// Opens the device at once, in the background.
    pub(super) fn new(shop: Arc<dyn Shop<D>>, control: Arc<DeviceControl>, tell: DeviceTell) -> Self {
        let now = Instant::now();
        let (version, choice) = (control.version(), control.choice());
        let mut this = Self {
            shop,
            control,
            tell,
            version,
            choice,
            current: None,
            retired: None,
            search: None,
            search_began: now,
            next_search: now,
            failures: 0,
            told_lost: false,
            given_up: false,
            closed: false,
        };
        this.poll(now);
        this
    }

    /// The device, if there is one. To be called at least every 50 ms; does not block.
    pub(super) fn poll(&mut self, now: Instant) -> Option<&mut D> {
        if self.version != self.control.version() {
            (self.version, self.choice) = (self.control.version(), self.control.choice());
            self.search = None;
            self.given_up = false;
            self.next_search = now;
            self.failures = 0;
            self.told_lost = false;
            // Before the new one is opened: it may be the same, that can be open only once.
            self.retired = self.current.take().map(|current| current.opened.device).or(self.retired.take());
        }
        if self.closed {
            return None;
        }
        self.look_at_search(now);
        if self.search.is_none() && !self.given_up && now >= self.next_search && self.may_change() {
            self.start_search(now);
        }
        self.device()
    }

    pub(super) fn device(&mut self) -> Option<&mut D> {
        self.current.as_mut().map(|current| &mut current.opened.device)
    }

    pub(super) fn present(&self) -> Option<&D> {
        self.current.as_ref().map(|current| &current.opened.device)
    }

    /// The device has proved itself.
    pub(super) fn works(&mut self) {
        let Some(current) = &mut self.current else { return };
        self.failures = 0;
        self.told_lost = false;
        if !std::mem::replace(&mut current.told, true) {
            (self.tell)(DeviceChange::Using { name: current.opened.name.clone() });
        }
    }

    /// The device has failed.
    pub(super) fn fail(&mut self, error: Error, now: Instant) {
        if let Some(current) = self.current.take() {
            self.retired = Some(current.opened.device);
        }
        self.search = None;
        self.none(error, now);
        if self.failures == 1 {
            self.next_search = now;
        }
    }

    /// Nothing is wanted: the device is closed.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.search = None;
        retire(self.current.take().map(|current| current.opened.device));
        retire(self.retired.take());
    }

    pub(super) fn reopen(&mut self, now: Instant) {
        self.closed = false;
        self.next_search = now;
        self.failures = 0;
    }

    fn may_change(&self) -> bool {
        match &self.current {
            None => true,
            Some(current) => current.stand_in || self.follows_default(),
        }
    }

    fn follows_default(&self) -> bool {
        match self.choice.policy {
            DevicePolicy::FollowDefault => true,
            DevicePolicy::FallBack => self.choice.name.is_none(),
            DevicePolicy::Keep | DevicePolicy::Silence => false,
        }
    }

    fn start_search(&mut self, now: Instant) {
        let (sender, search) = bounded(1);
        let (shop, retired) = (self.shop.clone(), self.retired.take());
        let policy = self.choice.policy;
        let name = (policy != DevicePolicy::FollowDefault).then(|| self.choice.name.clone()).flatten();
        let present = self.current.as_ref().map(|current| current.opened.id.clone());
        let follows_default = self.follows_default();
        let job = move || {
            drop(retired);
            // Nobody may be interested any more: then the device is closed here.
            let _ = sender.send(look(&*shop, name.as_deref(), policy, present, follows_default));
        };
        match std::thread::Builder::new().name("trill-device-search".into()).spawn(job) {
            Ok(_) => (self.search, self.search_began) = (Some(search), now),
            Err(e) => self.none(Error::new(ErrorCode::Internal, format!("no thread for a device: {e}")), now),
        }
    }

    fn look_at_search(&mut self, now: Instant) {
        let Some(search) = &self.search else { return };
        let found = match search.try_recv() {
            Ok(found) => found,
            Err(TryRecvError::Empty) => return self.wait_for_search(now),
            Err(TryRecvError::Disconnected) => {
                Found::Nothing(Error::new(ErrorCode::DeviceUnavailable, "the system's library failed at that device"))
            }
        };
        self.search = None;
        self.next_search = now + LOOK_EVERY;
        match found {
            Found::Device(opened) => {
                if self.choice.policy == DevicePolicy::Keep && self.choice.name.is_none() {
                    self.choice.name = Some(opened.id.clone());
                }
                self.replace(opened, false);
            }
            Found::Instead(opened, error) => {
                if !std::mem::replace(&mut self.told_lost, true) {
                    (self.tell)(DeviceChange::Lost { error });
                }
                self.replace(opened, true);
            }
            Found::NoOther => {}
            Found::Nothing(error) => self.none(error, now),
        }
    }

    fn wait_for_search(&mut self, now: Instant) {
        if self.current.is_some() || self.told_lost || now.saturating_duration_since(self.search_began) < SEARCH_WITHIN
        {
            return;
        }
        let problem =
            "the system does not answer when it is asked for that device; is its sound server or driver stuck?";
        let error = Error::new(ErrorCode::DeviceUnavailable, problem);
        if self.choice.policy == DevicePolicy::Silence {
            self.search = None;
            self.none(error, now);
        } else {
            self.told_lost = true;
            (self.tell)(DeviceChange::Lost { error });
        }
    }

    fn replace(&mut self, opened: Opened<D>, stand_in: bool) {
        let before = self.current.replace(Current { opened, stand_in, told: false });
        retire(before.map(|before| before.opened.device));
    }

    fn none(&mut self, error: Error, now: Instant) {
        let pause = RETRY[self.failures.min(RETRY.len() - 1)];
        self.next_search = now + pause;
        self.failures += 1;
        if self.choice.policy == DevicePolicy::Silence {
            self.given_up = true;
            (self.tell)(DeviceChange::Failed { error });
        } else if !std::mem::replace(&mut self.told_lost, true) {
            (self.tell)(DeviceChange::Lost { error });
        }
    }
}

fn look<D: 'static>(
    shop: &dyn Shop<D>,
    name: Option<&str>,
    policy: DevicePolicy,
    present: Option<String>,
    follows_default: bool,
) -> Found<D> {
    let Some(present) = present else {
        return match shop.open(name) {
            Ok(opened) => Found::Device(opened),
            Err(error) if name.is_some() && policy == DevicePolicy::FallBack => match shop.open(None) {
                Ok(opened) => Found::Instead(opened, error),
                Err(_) => Found::Nothing(error),
            },
            Err(error) => Found::Nothing(error),
        };
    };
    if follows_default && shop.default_id().is_none_or(|default| default == present) {
        return Found::NoOther;
    }
    match shop.open(name) {
        Ok(opened) => Found::Device(opened),
        Err(_) => Found::NoOther,
    }
}

/// Closing may take long.
fn retire<D: Send + 'static>(device: Option<D>) {
    if let Some(device) = device {
        // Without a thread it is closed here.
        let _ = std::thread::Builder::new().name("trill-device-close".into()).spawn(move || drop(device));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Devices by name, the default one first; each knows how many are open.
    #[derive(Default)]
    struct Fake {
        there: Mutex<Vec<&'static str>>,
        /// Another program has it.
        taken: Mutex<Option<&'static str>>,
    }

    impl Shop<&'static str> for Fake {
        fn open(&self, name: Option<&str>) -> Result<Opened<&'static str>> {
            let there = self.there.lock().unwrap();
            let found = there.iter().find(|there| name.is_none_or(|name| name == **there));
            let id = *found.ok_or_else(|| Error::new(ErrorCode::DeviceUnavailable, format!("no {name:?}")))?;
            if *self.taken.lock().unwrap() == Some(id) {
                return Err(Error::new(ErrorCode::DeviceUnavailable, "another program has taken it"));
            }
            Ok(Opened { device: id, name: id.into(), id: id.into() })
        }

        fn default_id(&self) -> Option<String> {
            self.there.lock().unwrap().first().map(|id| (*id).into())
        }
    }

    struct World {
        shop: Arc<Fake>,
        control: Arc<DeviceControl>,
        keeper: Keeper<&'static str>,
        told: crossbeam_channel::Receiver<DeviceChange>,
        now: Instant,
    }

    impl World {
        fn new(name: Option<&str>, policy: DevicePolicy, there: &[&'static str]) -> Self {
            Self::with(name, policy, Fake { there: Mutex::new(there.to_vec()), ..Fake::default() })
        }

        fn with(name: Option<&str>, policy: DevicePolicy, shop: Fake) -> Self {
            let shop = Arc::new(shop);
            let control = Arc::new(DeviceControl::new(name.map(str::to_owned), policy));
            let (sender, told) = crossbeam_channel::unbounded();
            let tell = Arc::new(move |change| sender.send(change).unwrap());
            let keeper = Keeper::new(shop.clone() as Arc<dyn Shop<&'static str>>, control.clone(), tell);
            Self { shop, control, keeper, told, now: Instant::now() }
        }

        fn plug(&self, there: &[&'static str]) {
            *self.shop.there.lock().unwrap() = there.to_vec();
        }

        /// Lets that much time pass, in which the device works if there is one and searches end; what was told.
        fn pass(&mut self, seconds: u32) -> Vec<String> {
            for _ in 0..seconds * 20 {
                self.now += Duration::from_millis(50);
                let there = self.shop.there.lock().unwrap().clone();
                if let Some(device) = self.keeper.poll(self.now).copied() {
                    if there.contains(&device) {
                        self.keeper.works();
                    } else {
                        self.keeper.fail(Error::new(ErrorCode::DeviceUnavailable, "unplugged"), self.now);
                    }
                }
                // The time is virtual, the thread of a search is not: it is waited for.
                let start = Instant::now();
                while self.keeper.search.as_ref().is_some_and(|search| search.is_empty()) {
                    assert!(start.elapsed() < Duration::from_secs(10));
                    std::thread::yield_now();
                }
            }
            self.told
                .try_iter()
                .map(|change| match change {
                    DeviceChange::Using { name } => format!("using {name}"),
                    DeviceChange::Lost { error } if error.message().contains("another program") => {
                        format!("lost: {}", error.message())
                    }
                    DeviceChange::Lost { .. } => "lost".into(),
                    DeviceChange::Failed { .. } => "failed".into(),
                })
                .collect()
        }
    }

    #[test]
    fn fall_back_takes_the_default_one_and_goes_back_to_the_chosen_one() {
        let mut world = World::new(Some("headset"), DevicePolicy::FallBack, &["built-in", "headset"]);
        assert_eq!(world.pass(1), ["using headset"]);
        world.plug(&["built-in"]);
        assert_eq!(world.pass(5), ["lost", "using built-in"]);
        world.plug(&["built-in", "headset"]);
        assert_eq!(world.pass(5), ["using headset"]);
        assert_eq!(world.pass(60), [""; 0], "and stays");
    }

    #[test]
    fn follow_default_moves_when_the_default_changes() {
        let mut world = World::new(None, DevicePolicy::FollowDefault, &["built-in"]);
        assert_eq!(world.pass(1), ["using built-in"]);
        world.plug(&["headset", "built-in"]);
        assert_eq!(world.pass(5), ["using headset"]);
        world.plug(&["built-in"]);
        assert_eq!(world.pass(5), ["lost", "using built-in"]);
        world.plug(&[]);
        assert_eq!(world.pass(60), ["lost"], "told once, however often it is tried");
        world.plug(&["built-in"]);
        assert_eq!(world.pass(5), ["using built-in"], "a lost device comes back by itself");
    }

    #[test]
    fn keep_waits_for_the_one_that_it_had() {
        let mut world = World::new(None, DevicePolicy::Keep, &["built-in"]);
        assert_eq!(world.pass(1), ["using built-in"]);
        world.plug(&["headset", "built-in"]);
        assert_eq!(world.pass(5), [""; 0]);
        world.plug(&["headset"]);
        assert_eq!(world.pass(5), ["lost"]);
        world.plug(&["headset", "built-in"]);
        assert_eq!(world.pass(5), ["using built-in"]);
    }

    #[test]
    fn silence_stays_silent_until_the_app_chooses_again() {
        let mut world = World::new(Some("headset"), DevicePolicy::Silence, &["built-in", "headset"]);
        assert_eq!(world.pass(1), ["using headset"]);
        world.plug(&["built-in"]);
        assert_eq!(world.pass(5), ["failed"]);
        world.plug(&["built-in", "headset"]);
        assert_eq!(world.pass(60), [""; 0]);
        world.control.choose(Some("built-in".into()), DevicePolicy::Keep);
        assert_eq!(world.pass(1), ["using built-in"]);
    }

    #[test]
    fn a_device_that_is_missing_at_first_is_told_and_used_when_it_comes() {
        let mut world = World::new(Some("headset"), DevicePolicy::FallBack, &[]);
        assert_eq!(world.pass(10), ["lost"]);
        world.plug(&["headset"]);
        assert_eq!(world.pass(5), ["using headset"]);
    }

    #[test]
    fn one_that_another_program_has_is_told_with_that_cause_and_used_when_it_is_free() {
        let shop = Fake { there: Mutex::new(vec!["built-in", "headset"]), taken: Mutex::new(Some("headset")) };
        let mut world = World::with(Some("headset"), DevicePolicy::Keep, shop);
        assert_eq!(world.pass(60), ["lost: another program has taken it"], "once, however often it is tried");
        *world.shop.taken.lock().unwrap() = None;
        assert_eq!(world.pass(3), ["using headset"]);
    }

    #[test]
    fn another_one_is_chosen_while_it_runs_and_one_that_is_not_there_is_told() {
        let mut world = World::new(None, DevicePolicy::FallBack, &["built-in", "headset"]);
        assert_eq!(world.pass(1), ["using built-in"]);
        world.control.choose(Some("headset".into()), DevicePolicy::FallBack);
        assert_eq!(world.pass(1), ["using headset"]);
        world.control.choose(Some("gone".into()), DevicePolicy::FallBack);
        assert_eq!(world.pass(1), ["lost", "using built-in"]);
    }

    #[test]
    fn one_that_is_closed_is_not_looked_for_and_opens_again() {
        let mut world = World::new(None, DevicePolicy::FallBack, &["built-in"]);
        assert_eq!(world.pass(1), ["using built-in"]);
        world.keeper.close();
        assert!(world.keeper.device().is_none());
        assert_eq!(world.pass(5), [""; 0]);
        world.keeper.reopen(world.now);
        assert_eq!(world.pass(1), ["using built-in"]);
    }

    #[test]
    fn a_system_that_does_not_answer_is_told_and_the_device_used_when_it_does() {
        let shop = Arc::new(Fake { there: Mutex::new(vec!["built-in"]), ..Fake::default() });
        let there = shop.there.lock().unwrap();
        let (sender, told) = crossbeam_channel::unbounded();
        let control = Arc::new(DeviceControl::new(None, DevicePolicy::FollowDefault));
        let tell = Arc::new(move |change| sender.send(change).unwrap());
        let mut keeper = Keeper::new(shop.clone() as Arc<dyn Shop<&'static str>>, control, tell);
        let start = Instant::now();
        assert!(keeper.poll(start + SEARCH_WITHIN / 2).is_none() && told.is_empty());
        for _ in 0..100 {
            assert!(keeper.poll(start + SEARCH_WITHIN * 2).is_none());
        }
        let changes: Vec<_> = told.try_iter().collect();
        assert!(matches!(&changes[..], [DeviceChange::Lost { .. }]), "once: {changes:?}");
        drop(there);
        while keeper.poll(start + SEARCH_WITHIN * 2).is_none() {
            assert!(start.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
        keeper.works();
        assert!(matches!(told.try_recv(), Ok(DeviceChange::Using { .. })));
    }
}
