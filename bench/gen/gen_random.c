/*-------------------------------------------------------------------------
 *
 * gen_random.c
 *		Seeding, and Zipf ranks without a table of all of them.
 *
 * Rejection-inversion (Hoermann and Derflinger, 1996).  Put the weights k^-s
 * as bars of width 1 around each k, under the curve x^-s.  The curve's area H
 * can be inverted in closed form, so draw an area, find its x, round to the
 * nearest k, and accept it if the area lies within bar k.  Nearly all draws
 * are accepted at once, no memory is needed, and a hundred million items are
 * as cheap as a hundred.
 *
 *-------------------------------------------------------------------------
 */
#include "gen.h"

#include <math.h>

/* One step of splitmix64's mixing, so that seeds 1 and 2 give unlike streams. */
void
gen_random_seed(GenRandom *r, uint64_t seed)
{
	uint64_t x = seed + UINT64_C(0x9E3779B97F4A7C15);

	x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
	x ^= x >> 31;
	r->state = x != 0 ? x : 1;
}

/* The area under x^-skew from 1 to x. */
static double
area(double skew, double x)
{
	double t = (1 - skew) * log(x);

	return fabs(t) < 1e-12 ? log(x) : expm1(t) / (1 - skew);
}

/* The x up to which the area is a. */
static double
inverse_area(double skew, double a)
{
	double t = (1 - skew) * a;

	return exp(fabs(t) < 1e-12 ? a : log1p(t) / (1 - skew));
}

/* The smallest area that still belongs to the bar of rank k. */
static double
accept_limit(double skew, uint32_t k)
{
	return area(skew, k + 0.5) - pow(k, -skew);
}

void
gen_zipf_init(GenZipf *z, uint32_t n, double skew)
{
	z->skew = skew;
	z->n = n;
	z->low = area(skew, 1.5) - 1;
	z->high = area(skew, n + 0.5);
	for (uint32_t k = 1; k < GEN_ZIPF_CACHED; k++)
		z->accept[k] = accept_limit(skew, k);
}

/* A rank from 1 to n. */
uint32_t
gen_zipf_rank(const GenZipf *z, GenRandom *r)
{
	for (;;)
	{
		double uniform = (double) (gen_random(r) >> 11) * 0x1p-53;
		double a = z->low + uniform * (z->high - z->low);
		double x = inverse_area(z->skew, a);
		uint32_t k = x < 1 ? 1 : x > z->n ? z->n : (uint32_t) (x + 0.5);

		if (k > z->n)
			k = z->n;
		if (a >= (k < GEN_ZIPF_CACHED ? z->accept[k] : accept_limit(z->skew, k)))
			return k;
	}
}
