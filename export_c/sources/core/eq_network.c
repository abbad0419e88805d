/* One step of the int8 network, with the integer results of TensorFlow Lite's default kernels on x86-64.

   Their three roundings: products of 8-bit layers are doubled, rounded to their high half, and shifted right rounding
   half up; those of 16-bit operators are shifted right rounding half away from zero.

   A step takes as many instructions for every input: limits and signs are written such that compilers choose masks and
   conditional instructions, not branches. */

static int32_t at_most(int32_t x, int32_t high)
{
    return x < high ? x : high;
}

/* -1 where x is negative, otherwise 0: its sign bit, not a shift of a negative number, which C leaves open. */
static inline int32_t sign_of(int32_t x)
{
    return -(int32_t)((uint32_t)x >> 31);
}

static int32_t clamp(int32_t x, int32_t low, int32_t high)
{
    const int32_t above = x - low;
    const int32_t beyond = low + (above & ~sign_of(above)) - high;
    return high + (beyond & sign_of(beyond));
}

/* High half of 2 a b, rounded half up: one instruction (SMMULR) where there is one. `a` is at least -2^30 and below 2^30:
   a sum of 8-bit products, a 16-bit number times 2^15, or a product of two of which one is not negative. */
static int32_t high_product(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)(a * 2) * (int64_t)b + INT64_C(2147483648)) >> 32);
}

/* a * multiplier * 2^-shift, the shift rounded half up. Sums of 8-bit products are below 2^30: so is `product`. */
static int32_t scale_half_up(int32_t a, int32_t multiplier, int32_t shift)
{
    const int32_t product = high_product(a, multiplier);
    return (product + (int32_t)(((uint32_t)1 << shift) >> 1)) >> shift;
}

/* a * multiplier * 2^-shift, the shift rounded half away from zero. */
static inline int32_t scale_half_away(int32_t a, eq_scale scale)
{
    const int32_t product = high_product(a, scale.multiplier);
    const int32_t half = (int32_t)(((uint32_t)1 << scale.shift) >> 1);
    return (product + half + (sign_of(product) & -(int32_t)(half > 0))) >> scale.shift;
}

/* Sum of products of n 8-bit numbers. */
static int32_t dot(const int8_t *x, const int8_t *w, int32_t n)
{
    const int8_t *const stop = x + n;
    int32_t sum = 0;
#if defined(__ARM_FEATURE_SIMD32) && !defined(EQ_PLAIN_C)
    const int8_t *const stop_of_fours = x + (n & ~3);
    while (x < stop_of_fours) {
        uint32_t a, b;
        (void)memcpy(&a, x, 4);
        (void)memcpy(&b, w, 4);
        sum = __smlad(__sxtb16(a), __sxtb16(b), sum);
        sum = __smlad(__sxtb16(a >> 8 | a << 24), __sxtb16(b >> 8 | b << 24), sum);
        x += 4;
        w += 4;
    }
#endif
    while (x < stop) {
        sum += (int32_t)*x * (int32_t)*w;
        x++;
        w++;
    }
    return sum;
}

/* Output o of a layer whose products, with the bias, have this sum. */
static int8_t scaled_output(const eq_dense *layer, int32_t sum, int32_t o)
{
    const int32_t y = scale_half_up(sum, layer->multiplier[o], layer->shift[o]) + layer->zero_point;
    return (int8_t)clamp(y, layer->low, 127);
}

/* Output o of a dense layer or convolution, from the values that its kernel covers. */
static int8_t dense_output(const eq_dense *layer, const int8_t *x, int32_t o)
{
    return scaled_output(layer, layer->bias[o] + dot(x, layer->weights + o * layer->n_in, layer->n_in), o);
}

/* Output o of the LSTM's gates from its own last output; the layer has no bias in most networks. */
static int8_t recurrent_output(const int8_t *h, int32_t o)
{
    int32_t sum = dot(h, eq_gates_h.weights + o * EQ_UNITS, EQ_UNITS);
#if EQ_HAS_RECURRENT_BIAS
    sum += eq_gates_h.bias[o];
#endif
    return scaled_output(&eq_gates_h, sum, o);
}

/* Input of the sigmoid table: 1/(3 * 4096) a step. */
static int32_t table_input(int16_t x, eq_table_scale scale)
{
    const int32_t rounding = scale.shift > 0 ? (int32_t)((uint32_t)1 << (scale.shift - 1)) : 0;
    return ((int32_t)x * scale.multiplier + rounding) >> scale.shift;
}

/* The sigmoid's table at a distance from 0, between entries 2^bits apart: times 2^bits, `most` at its end. */
static inline int32_t table_value(int32_t distance, int32_t bits, int32_t most)
{
    const int32_t step = (int32_t)1 << bits;
    const int32_t within = at_most(distance, 255 * step), i = within >> bits, beyond = within & (step - 1);
    const int32_t a = (int32_t)eq_sigmoid[i], b = (int32_t)eq_sigmoid[i + 1];
    return at_most(a * step + beyond * (b - a), most * step);
}

/* x where the sign is 0, -x where it is -1. */
static int32_t with_sign(int32_t x, int32_t sign)
{
    return (x ^ sign) - sign;
}

static int16_t logistic_16(int16_t x, eq_table_scale scale)
{
    const int32_t input = table_input(x, scale), sign = sign_of(input);
    const int32_t value = table_value(input < 0 ? -input : input, 9, 0x7FFF << 1);
    return (int16_t)((with_sign(value, sign) + (sign & ((1 << 25) - 1)) + 512) >> 10); /* of -x: 1 minus that of x */
}

static inline int16_t tanh_16(int16_t x, eq_table_scale scale)
{
    const int32_t input = table_input(x, scale), sign = sign_of(input);
    const int32_t value = table_value(input < 0 ? -input : input, 8, 0xFFFF) - (1 << 23);
    return (int16_t)((with_sign(value, sign) + sign + 128) >> 8);
}

static inline int16_t add_16(int32_t a, eq_scale scale_a, int32_t b, eq_scale scale_b, eq_scale scale_sum)
{
    const int32_t sum = scale_half_away(a * 32768, scale_a) + scale_half_away(b * 32768, scale_b);
    return (int16_t)clamp(scale_half_away(sum, scale_sum), INT16_MIN, INT16_MAX);
}

static inline int16_t multiply_16(int32_t a, int32_t b, eq_scale scale)
{
    return (int16_t)clamp(scale_half_away(a * b, scale), INT16_MIN, INT16_MAX);
}

static void reset_network(eq_network *network)
{
    int32_t i, k, offset = 0;
    (void)memset(network->c, 0, sizeof network->c);
    (void)memset(network->h, EQ_H_ZERO, sizeof network->h);
    for (k = 0; k < EQ_N_CONVS; k++) {
        for (i = 0; i < eq_convs[k].n_in; i++) {
            network->contexts[offset + i] = (int8_t)eq_conv_zeros[k];
        }
        offset += eq_convs[k].n_in;
    }
}

/* The convolutions: each keeps the rows that its kernel covers. Returns the last one's outputs in `x`. */
static void step_convolutions(eq_network *network, int8_t *x)
{
    int32_t k, o, n_row = EQ_N_FEATURES;
    int8_t *context = network->contexts;
    for (k = 0; k < EQ_N_CONVS; k++) {
        const eq_dense *layer = &eq_convs[k];
        (void)memmove(context, context + n_row, (size_t)(layer->n_in - n_row));
        (void)memcpy(context + layer->n_in - n_row, x, (size_t)n_row);
        for (o = 0; o < layer->n_out; o++) {
            x[o] = dense_output(layer, context, o);
        }
        context += layer->n_in;
        n_row = layer->n_out;
    }
}

/* The LSTM: its gates from x and its own last output, then its new cell and output. */
static void step_lstm(eq_network *network, const int8_t *x, int16_t *gates)
{
    int32_t i;
    for (i = 0; i < 4 * EQ_UNITS; i++) {
        int32_t from_x = dense_output(&eq_gates_x, x, i);
        const int32_t from_h = recurrent_output(network->h, i);
#if EQ_HAS_SHARES
        from_x = multiply_16(from_x, eq_shares[i], eq_scale_shares);
#endif
        gates[i] = add_16(from_x, eq_scale_gates_x, from_h, eq_scale_gates_h, eq_scale_gates);
    }
    for (i = 0; i < EQ_UNITS; i++) {
        const int16_t input = logistic_16(gates[i], eq_table_gates);
        const int16_t forget = logistic_16(gates[EQ_UNITS + i], eq_table_gates);
        const int16_t candidate = tanh_16(gates[2 * EQ_UNITS + i], eq_table_gates);
        const int16_t output = logistic_16(gates[3 * EQ_UNITS + i], eq_table_gates);
        const int16_t kept = multiply_16(forget, network->c[i], eq_scale_kept);
        const int16_t added = multiply_16(input, candidate, eq_scale_added);
        int32_t h;
        network->c[i] = add_16(kept, eq_scale_cell_kept, added, eq_scale_cell_added, eq_scale_cell);
        h = multiply_16(output, tanh_16(network->c[i], eq_table_cell), eq_scale_output);
        h = scale_half_away(h, eq_scale_h) + EQ_H_ZERO;
        network->h[i] = (int8_t)clamp(h, -128, 127);
    }
}

/* Takes a row of n features; writes the probabilities as int8. `gates`: scratch. */
static void step_network(eq_network *network, const int8_t *row, int16_t *gates, int8_t *probabilities)
{
    int8_t x[EQ_MOST_ROW];
    int32_t o;
    (void)memcpy(x, row, EQ_N_FEATURES);
    step_convolutions(network, x);
    step_lstm(network, x, gates);
    for (o = 0; o < EQ_N_OUTPUTS; o++) {
        const int32_t y = dense_output(&eq_head, network->h, o);
        probabilities[o] = eq_logistic_8[y + 128];
    }
}

/* The integer of a feature, by float32 arithmetic as the runner's: a division, not a product with 1/scale. */
static int8_t quantize_feature(float value)
{
    const float q = round_even_f(value / EQ_ROW_SCALE) + (float)EQ_ROW_ZERO;
    return (int8_t)(q < -128.0f ? -128.0f : (q > 127.0f ? 127.0f : q));
}

static double probability_of(int8_t q)
{
    return (double)(((float)q - (float)EQ_PROBABILITY_ZERO) * EQ_PROBABILITY_SCALE);
}

#ifdef EQ_HOST_NETWORK /* a host's library may have a step of its own, of the same integers */
#include EQ_HOST_NETWORK
#else
#define host_step step_network
#endif
