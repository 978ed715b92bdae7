//go:build !purego

#include "textflag.h"

// Sixteen hashes side by side: word i of all of them is in one register, message j of it in lane j. The schedule is in
// Z0 to Z15, the working variables a to h are in Z16 to Z23, and Z24 to Z27 are free.

// swap reverses the bytes of each word.
DATA swap<>+0(SB)/8, $0x0405060700010203
DATA swap<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL swap<>(SB), RODATA|NOPTR, $16

// constants are the K of SHA-256, two in a line.
DATA constants<>+0(SB)/8, $0x71374491428a2f98
DATA constants<>+8(SB)/8, $0xe9b5dba5b5c0fbcf
DATA constants<>+16(SB)/8, $0x59f111f13956c25b
DATA constants<>+24(SB)/8, $0xab1c5ed5923f82a4
DATA constants<>+32(SB)/8, $0x12835b01d807aa98
DATA constants<>+40(SB)/8, $0x550c7dc3243185be
DATA constants<>+48(SB)/8, $0x80deb1fe72be5d74
DATA constants<>+56(SB)/8, $0xc19bf1749bdc06a7
DATA constants<>+64(SB)/8, $0xefbe4786e49b69c1
DATA constants<>+72(SB)/8, $0x240ca1cc0fc19dc6
DATA constants<>+80(SB)/8, $0x4a7484aa2de92c6f
DATA constants<>+88(SB)/8, $0x76f988da5cb0a9dc
DATA constants<>+96(SB)/8, $0xa831c66d983e5152
DATA constants<>+104(SB)/8, $0xbf597fc7b00327c8
DATA constants<>+112(SB)/8, $0xd5a79147c6e00bf3
DATA constants<>+120(SB)/8, $0x1429296706ca6351
DATA constants<>+128(SB)/8, $0x2e1b213827b70a85
DATA constants<>+136(SB)/8, $0x53380d134d2c6dfc
DATA constants<>+144(SB)/8, $0x766a0abb650a7354
DATA constants<>+152(SB)/8, $0x92722c8581c2c92e
DATA constants<>+160(SB)/8, $0xa81a664ba2bfe8a1
DATA constants<>+168(SB)/8, $0xc76c51a3c24b8b70
DATA constants<>+176(SB)/8, $0xd6990624d192e819
DATA constants<>+184(SB)/8, $0x106aa070f40e3585
DATA constants<>+192(SB)/8, $0x1e376c0819a4c116
DATA constants<>+200(SB)/8, $0x34b0bcb52748774c
DATA constants<>+208(SB)/8, $0x4ed8aa4a391c0cb3
DATA constants<>+216(SB)/8, $0x682e6ff35b9cca4f
DATA constants<>+224(SB)/8, $0x78a5636f748f82ee
DATA constants<>+232(SB)/8, $0x8cc7020884c87814
DATA constants<>+240(SB)/8, $0xa4506ceb90befffa
DATA constants<>+248(SB)/8, $0xc67178f2bef9a3f7
GLOBL constants<>(SB), RODATA|NOPTR, $256

// LOAD gets the next 64 bytes of one message.
#define LOAD(lane, reg) \
	MOVQ (lane*8)(SI), R8; \
	VMOVDQU32 (R8)(BX*1), reg

// PAIRS and QUADS transpose 4 x 4 words within each 128 bits: the words of four messages that stand at the same place.
#define PAIRS(a, b, lo, hi) \
	VPUNPCKLDQ b, a, lo; \
	VPUNPCKHDQ b, a, hi

#define QUADS(lo0, hi0, lo1, hi1, w0, w1, w2, w3) \
	VPUNPCKLQDQ lo1, lo0, w0; \
	VPUNPCKHQDQ lo1, lo0, w1; \
	VPUNPCKLQDQ hi1, hi0, w2; \
	VPUNPCKHQDQ hi1, hi0, w3

// SIDES transposes 4 x 4 groups of 128 bits, by way of x0 to x3, and turns big-endian words into numbers.
#define SIDES(a, b, c, d, x0, x1, x2, x3) \
	VSHUFI32X4 $0x44, b, a, x0; \
	VSHUFI32X4 $0x44, d, c, x1; \
	VSHUFI32X4 $0xee, b, a, x2; \
	VSHUFI32X4 $0xee, d, c, x3; \
	VSHUFI32X4 $0x88, x1, x0, a; \
	VSHUFI32X4 $0xdd, x1, x0, b; \
	VSHUFI32X4 $0x88, x3, x2, c; \
	VSHUFI32X4 $0xdd, x3, x2, d; \
	VPSHUFB Z31, a, a; \
	VPSHUFB Z31, b, b; \
	VPSHUFB Z31, c, c; \
	VPSHUFB Z31, d, d

// ROUND is one round of SHA-256 with word w of the schedule, whose constant is the one at offset k. What comes out as the new
// a is in h, and the new e in d: the next round names the registers one place further.
#define ROUND(a, b, c, d, e, f, g, h, w, k) \
	VPADDD.BCST (k*4)(DX), w, Z24; \
	VPRORD $6, e, Z25; \
	VPRORD $11, e, Z26; \
	VPRORD $25, e, Z27; \
	VPADDD Z24, h, h; \
	VMOVDQA32 e, Z24; \
	VPTERNLOGD $0x96, Z27, Z26, Z25; \
	VPTERNLOGD $0xca, g, f, Z24; \
	VPADDD Z25, h, h; \
	VPADDD Z24, h, h; \
	VPADDD h, d, d; \
	VPRORD $2, a, Z25; \
	VPRORD $13, a, Z26; \
	VPRORD $22, a, Z27; \
	VMOVDQA32 a, Z24; \
	VPTERNLOGD $0x96, Z27, Z26, Z25; \
	VPTERNLOGD $0xe8, c, b, Z24; \
	VPADDD Z25, h, h; \
	VPADDD Z24, h, h

// EXPAND turns word i of the schedule into word i+16, given words i, i+1, i+9 and i+14.
#define EXPAND(w0, w1, w9, w14) \
	VPRORD $7, w1, Z28; \
	VPRORD $18, w1, Z29; \
	VPSRLD $3, w1, Z30; \
	VPADDD w9, w0, w0; \
	VPTERNLOGD $0x96, Z30, Z29, Z28; \
	VPADDD Z28, w0, w0; \
	VPRORD $17, w14, Z28; \
	VPRORD $19, w14, Z29; \
	VPSRLD $10, w14, Z30; \
	VPTERNLOGD $0x96, Z30, Z29, Z28; \
	VPADDD Z28, w0, w0

#define ROUND_EXPAND(a, b, c, d, e, f, g, h, w0, w1, w9, w14, k) \
	ROUND(a, b, c, d, e, f, g, h, w0, k); \
	EXPAND(w0, w1, w9, w14)

// UPDATE adds a working variable to what the hash was before this block.
#define UPDATE(i, reg) \
	VPADDD (i*64)(DI), reg, reg; \
	VMOVDQU32 reg, (i*64)(DI)

// func blocks16(state *[8][16]uint32, messages *[16]*byte, offset, n int)
TEXT ·blocks16(SB), NOSPLIT, $0-32
	MOVQ state+0(FP), DI
	MOVQ messages+8(FP), SI
	MOVQ offset+16(FP), BX
	MOVQ n+24(FP), CX

block:
	TESTQ CX, CX
	JZ    done

	LOAD(0, Z0)
	LOAD(1, Z1)
	LOAD(2, Z2)
	LOAD(3, Z3)
	LOAD(4, Z4)
	LOAD(5, Z5)
	LOAD(6, Z6)
	LOAD(7, Z7)
	LOAD(8, Z8)
	LOAD(9, Z9)
	LOAD(10, Z10)
	LOAD(11, Z11)
	LOAD(12, Z12)
	LOAD(13, Z13)
	LOAD(14, Z14)
	LOAD(15, Z15)

	PAIRS(Z0, Z1, Z16, Z17)
	PAIRS(Z2, Z3, Z18, Z19)
	PAIRS(Z4, Z5, Z20, Z21)
	PAIRS(Z6, Z7, Z22, Z23)
	PAIRS(Z8, Z9, Z24, Z25)
	PAIRS(Z10, Z11, Z26, Z27)
	PAIRS(Z12, Z13, Z28, Z29)
	PAIRS(Z14, Z15, Z30, Z31)

	// Word 4l+j of four messages is in group l of 128 bits of Z(j) for the first four, of Z(4+j) for the next, and so on.
	QUADS(Z16, Z17, Z18, Z19, Z0, Z1, Z2, Z3)
	QUADS(Z20, Z21, Z22, Z23, Z4, Z5, Z6, Z7)
	QUADS(Z24, Z25, Z26, Z27, Z8, Z9, Z10, Z11)
	QUADS(Z28, Z29, Z30, Z31, Z12, Z13, Z14, Z15)

	VBROADCASTI32X4 swap<>(SB), Z31
	SIDES(Z0, Z4, Z8, Z12, Z16, Z17, Z18, Z19)
	SIDES(Z1, Z5, Z9, Z13, Z20, Z21, Z22, Z23)
	SIDES(Z2, Z6, Z10, Z14, Z24, Z25, Z26, Z27)
	SIDES(Z3, Z7, Z11, Z15, Z16, Z17, Z18, Z19)

	VMOVDQU32 0(DI), Z16
	VMOVDQU32 64(DI), Z17
	VMOVDQU32 128(DI), Z18
	VMOVDQU32 192(DI), Z19
	VMOVDQU32 256(DI), Z20
	VMOVDQU32 320(DI), Z21
	VMOVDQU32 384(DI), Z22
	VMOVDQU32 448(DI), Z23

	LEAQ constants<>(SB), DX
	MOVQ $3, AX

rounds:
	ROUND_EXPAND(Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z0, Z1, Z9, Z14, 0)
	ROUND_EXPAND(Z23, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z1, Z2, Z10, Z15, 1)
	ROUND_EXPAND(Z22, Z23, Z16, Z17, Z18, Z19, Z20, Z21, Z2, Z3, Z11, Z0, 2)
	ROUND_EXPAND(Z21, Z22, Z23, Z16, Z17, Z18, Z19, Z20, Z3, Z4, Z12, Z1, 3)
	ROUND_EXPAND(Z20, Z21, Z22, Z23, Z16, Z17, Z18, Z19, Z4, Z5, Z13, Z2, 4)
	ROUND_EXPAND(Z19, Z20, Z21, Z22, Z23, Z16, Z17, Z18, Z5, Z6, Z14, Z3, 5)
	ROUND_EXPAND(Z18, Z19, Z20, Z21, Z22, Z23, Z16, Z17, Z6, Z7, Z15, Z4, 6)
	ROUND_EXPAND(Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z16, Z7, Z8, Z0, Z5, 7)
	ROUND_EXPAND(Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z8, Z9, Z1, Z6, 8)
	ROUND_EXPAND(Z23, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z9, Z10, Z2, Z7, 9)
	ROUND_EXPAND(Z22, Z23, Z16, Z17, Z18, Z19, Z20, Z21, Z10, Z11, Z3, Z8, 10)
	ROUND_EXPAND(Z21, Z22, Z23, Z16, Z17, Z18, Z19, Z20, Z11, Z12, Z4, Z9, 11)
	ROUND_EXPAND(Z20, Z21, Z22, Z23, Z16, Z17, Z18, Z19, Z12, Z13, Z5, Z10, 12)
	ROUND_EXPAND(Z19, Z20, Z21, Z22, Z23, Z16, Z17, Z18, Z13, Z14, Z6, Z11, 13)
	ROUND_EXPAND(Z18, Z19, Z20, Z21, Z22, Z23, Z16, Z17, Z14, Z15, Z7, Z12, 14)
	ROUND_EXPAND(Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z16, Z15, Z0, Z8, Z13, 15)
	ADDQ $64, DX
	DECQ AX
	JNZ  rounds

	ROUND(Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z0, 0)
	ROUND(Z23, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z1, 1)
	ROUND(Z22, Z23, Z16, Z17, Z18, Z19, Z20, Z21, Z2, 2)
	ROUND(Z21, Z22, Z23, Z16, Z17, Z18, Z19, Z20, Z3, 3)
	ROUND(Z20, Z21, Z22, Z23, Z16, Z17, Z18, Z19, Z4, 4)
	ROUND(Z19, Z20, Z21, Z22, Z23, Z16, Z17, Z18, Z5, 5)
	ROUND(Z18, Z19, Z20, Z21, Z22, Z23, Z16, Z17, Z6, 6)
	ROUND(Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z16, Z7, 7)
	ROUND(Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z8, 8)
	ROUND(Z23, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z9, 9)
	ROUND(Z22, Z23, Z16, Z17, Z18, Z19, Z20, Z21, Z10, 10)
	ROUND(Z21, Z22, Z23, Z16, Z17, Z18, Z19, Z20, Z11, 11)
	ROUND(Z20, Z21, Z22, Z23, Z16, Z17, Z18, Z19, Z12, 12)
	ROUND(Z19, Z20, Z21, Z22, Z23, Z16, Z17, Z18, Z13, 13)
	ROUND(Z18, Z19, Z20, Z21, Z22, Z23, Z16, Z17, Z14, 14)
	ROUND(Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z16, Z15, 15)

	UPDATE(0, Z16)
	UPDATE(1, Z17)
	UPDATE(2, Z18)
	UPDATE(3, Z19)
	UPDATE(4, Z20)
	UPDATE(5, Z21)
	UPDATE(6, Z22)
	UPDATE(7, Z23)

	ADDQ $64, BX
	DECQ CX
	JMP  block

done:
	VZEROUPPER
	RET
