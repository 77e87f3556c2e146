//! The shelves of machines after imaging.

use super::Tables;
use crate::state::machines::config::StoredConfig;
use crate::state::machines::denied::DeniedDevice;
use crate::state::machines::device::Device;
use crate::state::machines::group::DeviceGroup;
use crate::state::machines::host_token::HostToken;
use crate::state::machines::identity::IdentityChoice;
use crate::state::machines::policy::RingPolicy;
use crate::state::machines::queue::{EventQueue, QueueMessage};
use crate::state::machines::tags::TargetTags;
use crate::state::machines::tests::DeviceTests;
use crate::state::machines::token::FactoryToken;
use crate::state::machines::updates::DeviceUpdates;
use crate::state::machines::users::DeviceUsers;
use crate::state::shelf::Shelf;

impl Tables {
    /// Machines after imaging.
    #[must_use]
    pub fn devices(&self) -> &Shelf<Device> {
        &self.devices
    }

    /// Devices that were deleted and are refused.
    #[must_use]
    pub fn denied_devices(&self) -> &Shelf<DeniedDevice> {
        &self.denied_devices
    }

    /// Groups of devices.
    #[must_use]
    pub fn device_groups(&self) -> &Shelf<DeviceGroup> {
        &self.device_groups
    }

    /// Configurations of devices, of their groups and factories.
    #[must_use]
    pub fn device_configs(&self) -> &Shelf<StoredConfig> {
        &self.device_configs
    }

    /// Updates of devices.
    #[must_use]
    pub fn device_updates(&self) -> &Shelf<DeviceUpdates> {
        &self.device_updates
    }

    /// Tests that ran on devices.
    #[must_use]
    pub fn device_tests(&self) -> &Shelf<DeviceTests> {
        &self.device_tests
    }

    /// What is stored of what devices tell of their users.
    #[must_use]
    pub fn device_users(&self) -> &Shelf<DeviceUsers> {
        &self.device_users
    }

    /// Tags of versions of images.
    #[must_use]
    pub fn target_tags(&self) -> &Shelf<TargetTags> {
        &self.target_tags
    }

    /// What following a tag does at sites.
    #[must_use]
    pub fn ring_policies(&self) -> &Shelf<RingPolicy> {
        &self.ring_policies
    }

    /// Tokens for the API of factories.
    #[must_use]
    pub fn factory_tokens(&self) -> &Shelf<FactoryToken> {
        &self.factory_tokens
    }

    /// Tokens with which machines enrol.
    #[must_use]
    pub fn host_tokens(&self) -> &Shelf<HostToken> {
        &self.host_tokens
    }

    /// What was said of identities at deploys.
    #[must_use]
    pub fn identity_choices(&self) -> &Shelf<IdentityChoice> {
        &self.identity_choices
    }

    /// Queues of what happens to devices.
    #[must_use]
    pub fn event_queues(&self) -> &Shelf<EventQueue> {
        &self.event_queues
    }

    /// Messages of event queues that nobody has taken yet.
    #[must_use]
    pub fn event_messages(&self) -> &Shelf<QueueMessage> {
        &self.event_messages
    }
}
