//! A vCPU's time-stamp counter. kvm-ioctls has these requests for other architectures only.

use std::os::fd::AsRawFd;

use kvm_bindings::{KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, kvm_device_attr};

/// `_IOW(KVMIO, 0xe1, struct kvm_device_attr)` of linux/kvm.h.
const KVM_SET_DEVICE_ATTR: libc::Ioctl = 0x4018_aee1;
/// `_IOW(KVMIO, 0xe3, struct kvm_device_attr)` of linux/kvm.h.
const KVM_HAS_DEVICE_ATTR: libc::Ioctl = 0x4018_aee3;

/// Makes the guest's time-stamp counter the host's, since the vDSO computes the time from it.
/// Where the attribute does not exist, the counter is not virtualised at all.
pub(super) fn follow_host(vcpu: &impl AsRawFd) {
    request(vcpu, KVM_SET_DEVICE_ATTR);
}

/// Whether this KVM has the attribute.
pub(crate) fn has_offset(vcpu: &impl AsRawFd) -> bool {
    request(vcpu, KVM_HAS_DEVICE_ATTR)
}

fn request(vcpu: &impl AsRawFd, number: libc::Ioctl) -> bool {
    let offset = 0u64;
    let attr = kvm_device_attr {
        group: KVM_VCPU_TSC_CTRL,
        attr: KVM_VCPU_TSC_OFFSET.into(),
        addr: &raw const offset as u64,
        flags: 0,
    };
    // SAFETY: both requests only read `attr`, and the offset that it points to; both are readable
    // for the call.
    unsafe { libc::ioctl(vcpu.as_raw_fd(), number, &raw const attr) == 0 }
}
