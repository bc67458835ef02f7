// The gates of a convolutional GRU, forward and backward, between the convolutions of a step.
//
// The convolutions are the library's; everything between two of them is one kernel here. With
// C channels, the gates lie in the order r, z, c. Maps are (B, H, W, channels) in memory (channels
// last), one after another for B; see the functions for what may be a slice of something larger.
#pragma once

#include <cstdint>

#include "common/dtype.h"
