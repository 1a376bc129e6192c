use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::event::Hook;

/// What applies to all handlers of a handle, where none says otherwise for itself.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) ttl: Duration,
    pub(crate) lease: Duration,
    pub(crate) store_timeout: Duration,
    pub(crate) on_store_error: OnStoreError,
    pub(crate) namespace: Option<Arc<str>>,
    pub(super) on_event: Option<Arc<Hook>>,
    pub(crate) doors: DoorSettings,
}

/// What happens to a request whose key the store cannot reserve.
///
/// ```
/// use cratestack_runtime::OnStoreError;
///
/// assert_eq!(OnStoreError::default(), OnStoreError::Refuse);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnStoreError {
    /// It is answered 503 and does not run.
    #[default]
    Refuse,
    /// It runs without protection: a retry runs it again, and two at once both run. For handlers that are better run
    /// twice than not at all.
    Run,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(24 * 60 * 60),
            lease: Duration::from_secs(30),
            store_timeout: Duration::from_secs(10),
            on_store_error: OnStoreError::Refuse,
            namespace: None,
            on_event: None,
            doors: DoorSettings::default(),
        }
    }
}

/// The settings that only one kind of door has, by their type. The handle keeps them and does not know them: whichever
/// door asks first has the first place.
#[derive(Debug, Clone, Default)]
pub(crate) struct DoorSettings {
    first: OnceLock<Arc<dyn Any + Send + Sync>>,
    others: OnceLock<Box<DoorSettings>>,
}

impl DoorSettings {
    /// The settings of one kind of door, which are the default until they are [updated](Self::update).
    pub(crate) fn get<T: Any + Default + Send + Sync>(&self) -> &T {
        let first = self.first.get_or_init(|| Arc::new(T::default()));
        first.downcast_ref().unwrap_or_else(|| self.others.get_or_init(Box::default).get())
    }

    pub(crate) fn update<T: Any + Clone + Default + Send + Sync>(&mut self, change: impl FnOnce(&mut T)) {
        if self.first.get().is_none_or(|first| first.is::<T>()) {
            let mut settings = self.get::<T>().clone();
            change(&mut settings);
            self.first = OnceLock::from(Arc::new(settings) as Arc<dyn Any + Send + Sync>);
        } else {
            let mut others = self.others.take().unwrap_or_default();
            others.update(change);
            self.others = OnceLock::from(others);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doors_settings_are_its_default_until_they_are_updated() {
        let mut doors = DoorSettings::default();
        assert_eq!(*doors.get::<u32>(), 0);
        let former = doors.clone();
        doors.update(|of_this_door: &mut u32| *of_this_door = 7);
        assert_eq!((*doors.get::<u32>(), *former.get::<u32>()), (7, 0));
        doors.update(|of_another_door: &mut String| of_another_door.push('a'));
        doors.update(|of_another_door: &mut String| of_another_door.push('b'));
        assert_eq!((*doors.get::<u32>(), doors.get::<String>().as_str()), (7, "ab"));
    }
}
