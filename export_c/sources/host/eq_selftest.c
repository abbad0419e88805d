/* The self-test of an export: included by eq_NAME_selftest.c, which holds the runner's check value. */

int eq_selftest(eq_t *scratch)
{
    return eq_network_check(scratch) == EQ_EXPECTED_CHECK ? 0 : 1;
}
