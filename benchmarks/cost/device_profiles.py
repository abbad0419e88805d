"""Processors that energy is estimated for: every constant with its source, and whether that was read or recalled.

A constant marked `read` was seen in the source, or in a stored copy or a quotation of it; the others are from memory or
are stated guesses, and want a data sheet before anybody builds on them.
"""

from __future__ import annotations

from dataclasses import dataclass

_LIGHTEQ = "Zainab et al. (2023), LightEQ, IoTDI '23, doi:10.1145/3576842.3582387: 5.86 mJ in 932 ms at 64 MHz"
_NRF_SLEEP = "nRF52840, System ON with RAM kept: 1.5 uA at 3 V (embedwise.pages.dev/calculators/nrf52-power-profiler)"
_CMSIS_NN = "Lai et al. (2018), arXiv:1801.06601: 24.7 MOps of a CNN in 99.1 ms at 216 MHz"
_STM32F746 = "STM32F746 data sheet (DocID027590): about 100 mA at 216 MHz and 3.3 V, peripherals off"
_PI_IDLE = "cnx-software.com/2021/12/09/raspberry-pi-zero-2-w-power-consumption: 120 mA at 5 V, idle"
_PI_BUSY = (
    "andrejacobs.org/electronics/raspberry-pi-zero-2-w-temperature-and-power-consumption: four busy cores take 1.4 W"
)
_RAD750 = "petervis.com, RAD750 single board computer: 133 MHz, 10 W awake, 1.9 W asleep"
_EPYC = "AMD EPYC 7763: 64 cores, 2.45 GHz, 280 W (techgage.com/article/amd-epyc-milan-launch-performance)"
_HOROWITZ = "Horowitz (2014), ISSCC, doi:10.1109/ISSCC.2014.6757323: 1.3 to 2.6 nJ for 64 bits from DRAM"
_INSTRUCTIONS = "loads, multiply-add and loop counted by hand for this instruction set"
_GUESS = "a guess"


@dataclass(frozen=True)
class Constant:
    """A number and where it comes from."""

    value: float
    source: str
    read: bool = False  # False: recalled or guessed, not looked up


@dataclass(frozen=True)
class DeviceProfile:
    """What a processor's work costs; powers in watts."""

    name: str
    clock_hz: Constant
    awake_w: Constant  # while it computes, over what it takes asleep or idle
    asleep_w: Constant  # between blocks, all day long
    cycles_per_int8_mac: Constant
    cycles_per_float_mac: Constant
    cycles_per_elementwise: Constant  # requantized, or a table looked up
    cycles_per_flop: Constant  # of the front end, in single precision, loads and stores included
    pj_per_byte: Constant  # weights, state and samples moved from memory; 0 where the power awake includes it
    # How many times as long the runner in Python takes as on the x86 profile; None: no CPython there.
    python_slowdown: Constant | None


PROFILES = (
    DeviceProfile(
        "Cortex-M4 (nRF52840)",
        clock_hz=Constant(64e6, _LIGHTEQ, read=True),
        awake_w=Constant(5.86e-3 / 0.932, _LIGHTEQ, read=True),
        asleep_w=Constant(1.5e-6 * 3.0, _NRF_SLEEP, read=True),
        cycles_per_int8_mac=Constant(3.0, f"twice the Cortex-M7's, which issues two instructions a cycle; {_CMSIS_NN}"),
        cycles_per_float_mac=Constant(6.0, _INSTRUCTIONS),
        cycles_per_elementwise=Constant(20.0, _INSTRUCTIONS),
        cycles_per_flop=Constant(4.0, _INSTRUCTIONS),
        pj_per_byte=Constant(0.0, "flash and RAM are on the chip, and in its power"),
        python_slowdown=None,
    ),
    DeviceProfile(
        "Cortex-M7 (STM32F746)",
        clock_hz=Constant(216e6, _CMSIS_NN),
        awake_w=Constant(0.33, _STM32F746),
        asleep_w=Constant(0.5e-3, f"Stop mode; {_GUESS}"),
        cycles_per_int8_mac=Constant(99.1e-3 * 216e6 / (24.7e6 / 2), _CMSIS_NN),
        cycles_per_float_mac=Constant(3.0, _INSTRUCTIONS),
        cycles_per_elementwise=Constant(12.0, _INSTRUCTIONS),
        cycles_per_flop=Constant(2.5, _INSTRUCTIONS),
        pj_per_byte=Constant(0.0, "flash and RAM are on the chip, and in its power"),
        python_slowdown=None,
    ),
    DeviceProfile(
        "Cortex-A53 (Raspberry Pi Zero 2 W)",
        clock_hz=Constant(1e9, "Raspberry Pi Zero 2 W product brief: 1 GHz"),
        awake_w=Constant(1.4 / 4, _PI_BUSY, read=True),
        asleep_w=Constant(0.6, f"the whole board, which does not sleep; {_PI_IDLE}", read=True),
        cycles_per_int8_mac=Constant(0.5, "eight products an instruction, half of the time on loads"),
        cycles_per_float_mac=Constant(1.0, "four products an instruction, most of the time on loads"),
        cycles_per_elementwise=Constant(4.0, _INSTRUCTIONS),
        cycles_per_flop=Constant(1.0, _INSTRUCTIONS),
        pj_per_byte=Constant(1.95e3 / 8, f"as if nothing stayed in its caches; {_HOROWITZ}"),
        python_slowdown=Constant(8.0, _GUESS),
    ),
    DeviceProfile(
        "RAD750 board (PowerPC)",
        clock_hz=Constant(133e6, _RAD750, read=True),
        awake_w=Constant(10.0 - 1.9, _RAD750, read=True),
        asleep_w=Constant(1.9, _RAD750, read=True),
        cycles_per_int8_mac=Constant(4.0, f"no vector unit; {_INSTRUCTIONS}"),
        cycles_per_float_mac=Constant(3.0, _INSTRUCTIONS),
        cycles_per_elementwise=Constant(15.0, _INSTRUCTIONS),
        cycles_per_flop=Constant(3.0, _INSTRUCTIONS),
        pj_per_byte=Constant(0.0, "memory is on the board, and in its power"),
        python_slowdown=None,
    ),
    DeviceProfile(
        "x86 (one core of a server)",
        clock_hz=Constant(2.45e9, _EPYC, read=True),
        awake_w=Constant(280.0 / 64, f"a 64th of the processor's power; {_EPYC}", read=True),
        asleep_w=Constant(0.0, "others use the core meanwhile"),
        cycles_per_int8_mac=Constant(0.1, "32 products an instruction, most of the time on loads"),
        cycles_per_float_mac=Constant(0.25, "eight products an instruction, half of the time on loads"),
        cycles_per_elementwise=Constant(2.0, _INSTRUCTIONS),
        cycles_per_flop=Constant(0.5, _INSTRUCTIONS),
        pj_per_byte=Constant(1.95e3 / 8, f"as if nothing stayed in its caches; {_HOROWITZ}"),
        python_slowdown=Constant(1.0, "measured on this machine, whatever it is"),
    ),
)
