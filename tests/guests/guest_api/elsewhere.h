// What phases.c uses of elsewhere.c.
#ifdef __cplusplus
extern "C"
#endif
int mark_elsewhere(const char *phase);
