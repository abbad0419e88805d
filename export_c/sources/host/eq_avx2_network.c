/* A network step for x86-64 hosts whose processor has AVX2: the integers of eq_network.c, eight outputs at a time.

   Included by eq_network.c where a host's library asks for it. Which of the two a step takes is chosen as the library
   is loaded, by the processor; tests compare both with the runtime. */
#define EQ_LANES 8
#define EQ_PADDED(n) (((n) + EQ_LANES - 1) / EQ_LANES * EQ_LANES)
#define EQ_PAIRS(n) (((n) + 1) / 2)
#define EQ_MOST_CONV (EQ_PADDED(EQ_MOST_ROW))

/* A layer whose weights are pairs of 16 bits, those of all outputs for two inputs side by side. */
typedef struct {
    int32_t n_pairs, n_out; /* n_out: a multiple of EQ_LANES */
    const int16_t *weights; /* (n_pairs, n_out, 2) */
    const int32_t *bias, *multiplier, *shift, *half; /* half: of the last digit that a shift drops */
    int32_t zero_point, low;
} eq_packed;

static struct {
    int16_t convs[(EQ_CONTEXT_VALUES + EQ_N_CONVS) * EQ_MOST_CONV];
    int16_t gates[(EQ_MOST_ROW + 1 + EQ_UNITS + 1) * 4 * EQ_PADDED(EQ_UNITS)];
    int32_t numbers[4 * (EQ_N_CONVS * EQ_MOST_CONV + 8 * EQ_PADDED(EQ_UNITS))];
} eq_pool;

static eq_packed eq_packed_convs[EQ_N_CONVS], eq_packed_x, eq_packed_h;

/* Packs a layer into the pools, and moves their ends. */
static eq_packed packed_layer(const eq_dense *layer, int16_t **weights, int32_t **numbers)
{
    const int32_t n = EQ_PADDED(layer->n_out);
    eq_packed packed = {EQ_PAIRS(layer->n_in), n, *weights, *numbers, *numbers + n, *numbers + 2 * n,
                        *numbers + 3 * n, layer->zero_point, layer->low};
    int32_t i, o;
    for (o = 0; o < layer->n_out; o++) {
        for (i = 0; i < layer->n_in; i++) {
            (*weights)[(i / 2 * n + o) * 2 + i % 2] = layer->weights[o * layer->n_in + i];
        }
        (*numbers)[o] = layer->bias != NULL ? layer->bias[o] : 0;
        (*numbers)[n + o] = layer->multiplier[o];
        (*numbers)[2 * n + o] = layer->shift[o];
        (*numbers)[3 * n + o] = (int32_t)(((uint32_t)1 << layer->shift[o]) >> 1);
    }
    *weights += 2 * packed.n_pairs * n;
    *numbers += 4 * n;
    return packed;
}

__attribute__((constructor)) static void pack_network(void)
{
    int16_t *convs = eq_pool.convs, *gates = eq_pool.gates;
    int32_t *numbers = eq_pool.numbers, k;
    for (k = 0; k < EQ_N_CONVS; k++) {
        eq_packed_convs[k] = packed_layer(&eq_convs[k], &convs, &numbers);
    }
    eq_packed_x = packed_layer(&eq_gates_x, &gates, &numbers);
    eq_packed_h = packed_layer(&eq_gates_h, &gates, &numbers);
}

/* Writes n 8-bit inputs as 16 bits, the last pair filled up with 0. */
EQ_AVX2 static void widen(const int8_t *x, int32_t n, int16_t *wide)
{
    int32_t i;
    wide[n] = 0;
    for (i = 0; i < n; i++) {
        wide[i] = x[i];
    }
}

/* Sums of products of EQ_LANES n_vectors outputs from one on, with the bias. */
EQ_AVX2 static inline __attribute__((always_inline)) void sums_of(const eq_packed *layer, const int16_t *x, int32_t o,
                                                                  const int n_vectors, __m256i *sums)
{
    int32_t i;
    int k;
    for (k = 0; k < n_vectors; k++) {
        sums[k] = _mm256_loadu_si256((const __m256i *)(layer->bias + o + k * EQ_LANES));
    }
    for (i = 0; i < layer->n_pairs; i++) {
        const int16_t *weights = layer->weights + (i * layer->n_out + o) * 2;
        int32_t pair;
        memcpy(&pair, x + 2 * i, sizeof pair);
        for (k = 0; k < n_vectors; k++) {
            const __m256i w = _mm256_loadu_si256((const __m256i *)(weights + 2 * k * EQ_LANES));
            sums[k] = _mm256_add_epi32(sums[k], _mm256_madd_epi16(_mm256_set1_epi32(pair), w));
        }
    }
}

EQ_AVX2 static inline __m256i clamp_8(__m256i x, int32_t low, int32_t high)
{
    return _mm256_min_epi32(_mm256_max_epi32(x, _mm256_set1_epi32(low)), _mm256_set1_epi32(high));
}

/* high_product: bits 31 to 62 of the rounded product. */
EQ_AVX2 static inline __m256i high_product_8(__m256i a, __m256i multiplier)
{
    const __m256i half = _mm256_set1_epi64x(0x40000000);
    const __m256i odd = _mm256_mul_epi32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(multiplier, 32));
    const __m256i even = _mm256_srli_epi64(_mm256_add_epi64(_mm256_mul_epi32(a, multiplier), half), 31);
    return _mm256_blend_epi32(even, _mm256_slli_epi64(_mm256_add_epi64(odd, half), 1), 0xAA);
}

/* scaled_output */
EQ_AVX2 static inline __m256i scaled_output_8(const eq_packed *layer, __m256i sums, int32_t o)
{
    const __m256i shift = _mm256_loadu_si256((const __m256i *)(layer->shift + o));
    const __m256i half = _mm256_loadu_si256((const __m256i *)(layer->half + o));
    const __m256i multiplier = _mm256_loadu_si256((const __m256i *)(layer->multiplier + o));
    const __m256i y = _mm256_srav_epi32(_mm256_add_epi32(high_product_8(sums, multiplier), half), shift);
    return clamp_8(_mm256_add_epi32(y, _mm256_set1_epi32(layer->zero_point)), layer->low, 127);
}

/* scale_half_away */
EQ_AVX2 static inline __m256i scale_half_away_8(__m256i a, eq_scale scale)
{
    const int32_t half = (int32_t)(((uint32_t)1 << scale.shift) >> 1);
    const __m256i product = high_product_8(a, _mm256_set1_epi32(scale.multiplier));
    const __m256i away = _mm256_and_si256(_mm256_srai_epi32(product, 31), _mm256_set1_epi32(half > 0 ? -1 : 0));
    const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(product, _mm256_set1_epi32(half)), away);
    return _mm256_sra_epi32(sum, _mm_cvtsi32_si128(scale.shift));
}

/* add_16 */
EQ_AVX2 static inline __m256i add_8(__m256i a, eq_scale scale_a, __m256i b, eq_scale scale_b, eq_scale scale_sum)
{
    const __m256i x = scale_half_away_8(_mm256_slli_epi32(a, 15), scale_a);
    const __m256i y = scale_half_away_8(_mm256_slli_epi32(b, 15), scale_b);
    return clamp_8(scale_half_away_8(_mm256_add_epi32(x, y), scale_sum), INT16_MIN, INT16_MAX);
}

/* multiply_16 */
EQ_AVX2 static inline __m256i multiply_8(__m256i a, __m256i b, eq_scale scale)
{
    return clamp_8(scale_half_away_8(_mm256_mullo_epi32(a, b), scale), INT16_MIN, INT16_MAX);
}

/* table_input */
EQ_AVX2 static inline __m256i table_input_8(__m256i x, eq_table_scale scale)
{
    const __m256i rounding = _mm256_set1_epi32(scale.shift > 0 ? (int32_t)((uint32_t)1 << (scale.shift - 1)) : 0);
    const __m256i product = _mm256_mullo_epi32(x, _mm256_set1_epi32(scale.multiplier));
    return _mm256_sra_epi32(_mm256_add_epi32(product, rounding), _mm_cvtsi32_si128(scale.shift));
}

/* table_value of the distance of an input from 0; two entries of the table are read at once. */
EQ_AVX2 static inline __m256i table_value_8(__m256i input, const int bits, int32_t most)
{
    const int32_t step = (int32_t)1 << bits;
    const __m256i within = _mm256_min_epi32(_mm256_abs_epi32(input), _mm256_set1_epi32(255 * step));
    const __m256i beyond = _mm256_and_si256(within, _mm256_set1_epi32(step - 1));
    const __m256i two = _mm256_i32gather_epi32((const int *)(const void *)eq_sigmoid, _mm256_srai_epi32(within, bits), 2);
    const __m256i a = _mm256_and_si256(two, _mm256_set1_epi32(0xFFFF));
    const __m256i change = _mm256_sub_epi32(_mm256_srli_epi32(two, 16), a);
    const __m256i value = _mm256_add_epi32(_mm256_slli_epi32(a, bits), _mm256_mullo_epi32(beyond, change));
    return _mm256_min_epi32(value, _mm256_set1_epi32(most * step));
}

EQ_AVX2 static inline __m256i with_sign_8(__m256i x, __m256i sign)
{
    return _mm256_sub_epi32(_mm256_xor_si256(x, sign), sign);
}

EQ_AVX2 static inline __m256i logistic_8(__m256i x, eq_table_scale scale)
{
    const __m256i input = table_input_8(x, scale), sign = _mm256_srai_epi32(input, 31);
    const __m256i value = with_sign_8(table_value_8(input, 9, 0x7FFF << 1), sign);
    const __m256i whole = _mm256_and_si256(sign, _mm256_set1_epi32((1 << 25) - 1));
    return _mm256_srai_epi32(_mm256_add_epi32(_mm256_add_epi32(value, whole), _mm256_set1_epi32(512)), 10);
}

EQ_AVX2 static inline __m256i tanh_8(__m256i x, eq_table_scale scale)
{
    const __m256i input = table_input_8(x, scale), sign = _mm256_srai_epi32(input, 31);
    const __m256i value = _mm256_sub_epi32(table_value_8(input, 8, 0xFFFF), _mm256_set1_epi32(1 << 23));
    const __m256i sum = _mm256_add_epi32(with_sign_8(value, sign), sign);
    return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(128)), 8);
}

/* step_convolutions */
EQ_AVX2 static void step_convolutions_8(eq_network *network, int8_t *x)
{
    int16_t wide[EQ_CONTEXT_VALUES + 1];
    int8_t outputs[EQ_MOST_CONV];
    int8_t *context = network->contexts;
    int32_t k, o, n_row = EQ_N_FEATURES;
    for (k = 0; k < EQ_N_CONVS; k++) {
        const eq_packed *layer = &eq_packed_convs[k];
        const int32_t n_in = eq_convs[k].n_in;
        memmove(context, context + n_row, (size_t)(n_in - n_row));
        memcpy(context + n_in - n_row, x, (size_t)n_row);
        widen(context, n_in, wide);
        for (o = 0; o < layer->n_out; o += EQ_LANES) {
            __m256i sums;
            __m128i y;
            sums_of(layer, wide, o, 1, &sums);
            sums = scaled_output_8(layer, sums, o);
            y = _mm_packs_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
            _mm_storel_epi64((__m128i *)(outputs + o), _mm_packs_epi16(y, y));
        }
        n_row = eq_convs[k].n_out;
        memcpy(x, outputs, (size_t)n_row);
        context += n_in;
    }
}

/* The gates of step_lstm. */
EQ_AVX2 static void step_gates_8(eq_network *network, const int8_t *x, int32_t *gates)
{
    int16_t wide_x[EQ_MOST_ROW + 1], wide_h[EQ_UNITS + 1];
    int32_t i;
    int k;
    widen(x, eq_gates_x.n_in, wide_x);
    widen(network->h, EQ_UNITS, wide_h);
    for (i = 0; i < 4 * EQ_UNITS; i += 4 * EQ_LANES) {
        __m256i from_x[4], from_h[4];
        sums_of(&eq_packed_x, wide_x, i, 4, from_x);
        sums_of(&eq_packed_h, wide_h, i, 4, from_h);
        for (k = 0; k < 4; k++) {
            const int32_t o = i + k * EQ_LANES;
            from_x[k] = scaled_output_8(&eq_packed_x, from_x[k], o);
            from_h[k] = scaled_output_8(&eq_packed_h, from_h[k], o);
#if EQ_HAS_SHARES
            from_x[k] = multiply_8(from_x[k], _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(eq_shares + o))),
                                   eq_scale_shares);
#endif
            _mm256_storeu_si256((__m256i *)(gates + o),
                                add_8(from_x[k], eq_scale_gates_x, from_h[k], eq_scale_gates_h, eq_scale_gates));
        }
    }
}

/* step_lstm */
EQ_AVX2 static void step_lstm_8(eq_network *network, const int8_t *x)
{
    int32_t gates[4 * EQ_UNITS], i;
    step_gates_8(network, x, gates);
    for (i = 0; i < EQ_UNITS; i += EQ_LANES) {
        __m128i *cell = (__m128i *)(void *)(network->c + i);
        const __m256i input = logistic_8(_mm256_loadu_si256((const __m256i *)(gates + i)), eq_table_gates);
        const __m256i forget = logistic_8(_mm256_loadu_si256((const __m256i *)(gates + EQ_UNITS + i)), eq_table_gates);
        const __m256i candidate = tanh_8(_mm256_loadu_si256((const __m256i *)(gates + 2 * EQ_UNITS + i)), eq_table_gates);
        const __m256i output = logistic_8(_mm256_loadu_si256((const __m256i *)(gates + 3 * EQ_UNITS + i)), eq_table_gates);
        const __m256i kept = multiply_8(forget, _mm256_cvtepi16_epi32(_mm_loadu_si128(cell)), eq_scale_kept);
        const __m256i added = multiply_8(input, candidate, eq_scale_added);
        const __m256i c = add_8(kept, eq_scale_cell_kept, added, eq_scale_cell_added, eq_scale_cell);
        __m256i h = multiply_8(output, tanh_8(c, eq_table_cell), eq_scale_output);
        __m128i narrow = _mm_packs_epi32(_mm256_castsi256_si128(c), _mm256_extracti128_si256(c, 1));
        _mm_storeu_si128(cell, narrow);
        h = clamp_8(_mm256_add_epi32(scale_half_away_8(h, eq_scale_h), _mm256_set1_epi32(EQ_H_ZERO)), -128, 127);
        narrow = _mm_packs_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
        _mm_storel_epi64((__m128i *)(void *)(network->h + i), _mm_packs_epi16(narrow, narrow));
    }
}

/* step_network, on the processor that there is. */
EQ_AVX2 static void step_network_8(eq_network *network, const int8_t *row, int8_t *probabilities)
{
    int8_t x[EQ_MOST_ROW];
    int32_t o;
    memcpy(x, row, EQ_N_FEATURES);
    step_convolutions_8(network, x);
    step_lstm_8(network, x);
    for (o = 0; o < EQ_N_OUTPUTS; o++) {
        probabilities[o] = eq_logistic_8[dense_output(&eq_head, network->h, o) + 128];
    }
}

static void host_step(eq_network *network, const int8_t *row, int16_t *gates, int8_t *probabilities)
{
    if (EQ_UNITS % EQ_LANES == 0 && eq_has_avx2 != 0) {
        step_network_8(network, row, probabilities);
    } else {
        step_network(network, row, gates, probabilities);
    }
}
