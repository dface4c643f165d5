/* Inference from Python at once: what fused.py does in steps takes as long as the transform of a small image.

   `infer` answers None where anything is not plain (gradients, another type or device, somebody who watches), and
   fused.py goes the long way. No header of torch's is needed: a tensor is read through DLPack's exchange interface,
   which torch has from 2.10 on. Without it, and where Python's headers are not installed, there is no short way. */

#if __has_include(<Python.h>)
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "call.h"

/* DLTensor and DLPackExchangeAPI of DLPack 1.x (github.com/dmlc/dlpack, dlpack.h), as far as they are used here. */
enum { ON_CPU = 1, OF_FLOATS = 2, MAX_DIMENSIONS = 8 };
typedef struct {
    void *data;
    int32_t device, device_number, dimensions;
    uint8_t kind, bits;
    uint16_t lanes;
    int64_t *sizes, *strides; /* in elements */
    uint64_t offset;          /* of the first element, in bytes */
} view;
typedef struct {
    uint32_t major, minor;
    void *before, *allocate, *share, *wrap;
    int (*look)(void *tensor, view *found); /* borrowed, as long as the tensor is as it is */
} exchange_functions;

static PyObject *tensor, *parameter, *watchers, *threads, *empty, *numbers_type;
static const exchange_functions *exchange;

/* Whether nobody watches: each of the watchers says 0, False or None. */
static int unwatched(void) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(watchers); i++) {
        PyObject *value = PyObject_CallNoArgs(PyTuple_GET_ITEM(watchers, i));
        int watching = value ? PyObject_IsTrue(value) : -1;
        Py_XDECREF(value);
        if (watching) return 0;
    }
    return 1;
}

/* The dimensions of a tensor without gaps as they lie in memory, the innermost first. */
static void order_of(int32_t dimensions, int channels_last, int32_t *order) {
    static const int32_t pixels_first[] = {1, 3, 2, 0};
    for (int32_t i = 0; i < dimensions; i++) order[i] = channels_last ? pixels_first[i] : dimensions - 1 - i;
}

/* Whether the strides are those of a tensor without gaps. */
static int is_packed(const view *x, int channels_last) {
    int32_t order[MAX_DIMENSIONS];
    int64_t expected = 1;
    if (channels_last && x->dimensions != 4) return 0;
    order_of(x->dimensions, channels_last, order);
    for (int32_t i = 0; i < x->dimensions; i++) {
        int64_t size = x->sizes[order[i]];
        if (size != 1 && x->strides[order[i]] != expected) return 0;
        if (size) expected *= size; /* strides of an empty tensor are those of one with ones for noughts */
    }
    return 1;
}

/* Whether a tensor of numbers that the kernel takes is found; an object without such numbers is not plain. */
static int look(PyObject *object, view *found) {
    if (exchange->look(object, found)) return PyErr_Clear(), 0;
    return found->device == ON_CPU && found->kind == OF_FLOATS && found->bits == 32 && found->lanes == 1 &&
           found->dimensions <= MAX_DIMENSIONS;
}

static float *numbers(const view *found) { return (float *)((char *)found->data + found->offset); }

/* A tensor for the result: of the sizes and strides of the images, but for the channels. */
static PyObject *result_for(const view *images, long n_out, int channels_last) {
    PyObject *sizes = PyTuple_New(images->dimensions), *strides = PyTuple_New(images->dimensions), *y = NULL;
    int32_t order[MAX_DIMENSIONS];
    int64_t expected = 1;
    order_of(images->dimensions, channels_last, order);
    for (int32_t i = 0; sizes && strides && i < images->dimensions; i++) {
        int32_t k = order[i];
        int64_t size = k == 1 ? n_out : images->sizes[k];
        PyTuple_SET_ITEM(sizes, k, PyLong_FromLongLong(size));
        PyTuple_SET_ITEM(strides, k, PyLong_FromLongLong(images->sizes[1] == n_out ? images->strides[k] : expected));
        if (size) expected *= size;
    }
    PyObject *arguments[] = {sizes, strides, numbers_type};
    if (!PyErr_Occurred()) y = PyObject_Vectorcall(empty, arguments, 3, NULL);
    Py_XDECREF(sizes), Py_XDECREF(strides);
    return y;
}

/* infer(x, stages by name, factors, n_in, n_out): y, or None. */
static PyObject *infer(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    if (count != 5 || !PyDict_Check(arguments[1]) || !PyTuple_Check(arguments[2]))
        return PyErr_Format(PyExc_TypeError, "expected a tensor, a dictionary, a tuple and two numbers");
    PyObject *x = arguments[0], *stages = arguments[1], *factors = arguments[2];
    view images, block, result;
    if (!exchange || Py_TYPE(x) != (PyTypeObject *)tensor || !unwatched() || !look(x, &images)) goto other;
    bft_shape shape = {PyLong_AsLong(arguments[3]), PyLong_AsLong(arguments[4]), PyTuple_GET_SIZE(factors), {0}};
    if (shape.stages > MAX_STAGES || PyDict_GET_SIZE(stages) != shape.stages) goto other;
    if (images.dimensions < 2 || images.sizes[1] != shape.n_in) goto other;
    bft_call *call = alloca(sizeof *call + shape.stages * sizeof *call->stages);
    call->channels_last = !is_packed(&images, 0);
    if (call->channels_last && !is_packed(&images, 1)) goto other;
    PyObject *name, *stage;
    for (Py_ssize_t at = 0, i = 0; PyDict_Next(stages, &at, &name, &stage); i++) {
        if (Py_TYPE(stage) != (PyTypeObject *)parameter || !look(stage, &block) || !is_packed(&block, 0)) goto other;
        call->stages[i] = numbers(&block);
        shape.factors[i] = PyLong_AsLong(PyTuple_GET_ITEM(factors, i));
    }
    call->batch = images.sizes[0], call->pixels = 1;
    for (int32_t i = 2; i < images.dimensions; i++) call->pixels *= images.sizes[i];
    PyObject *y = result_for(&images, shape.n_out, (int)call->channels_last);
    if (!y) goto other;
    if (!look(y, &result)) {
        Py_DECREF(y);
        goto other;
    }
    PyObject *workers = PyObject_CallNoArgs(threads);
    if (workers) {
        call->shape = &shape, call->type = FLOAT, call->threads = PyLong_AsLong(workers);
        call->x = numbers(&images), call->y = numbers(&result), call->gy = NULL, call->gx = NULL;
        int failed = 0;
        if (!PyErr_Occurred()) {
            Py_BEGIN_ALLOW_THREADS
            failed = bft_forward(call);
            Py_END_ALLOW_THREADS
        }
        if (failed) PyErr_SetString(PyExc_MemoryError, "not enough memory for the tiles of a butterfly transform");
    }
    Py_XDECREF(workers);
    if (!PyErr_Occurred()) return y;
    Py_DECREF(y);
    return NULL;
other:
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

/* prepare(type of a tensor and of a parameter, watchers, threads, empty, type of numbers, exchange): what `infer` is to ask;
   `empty` takes sizes, strides and that type. */
static PyObject *prepare(PyObject *module, PyObject *arguments) {
    PyObject *capsule;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "O!O!O!OOOO", &PyType_Type, &tensor, &PyType_Type, &parameter, &PyTuple_Type,
                          &watchers, &threads, &empty, &numbers_type, &capsule))
        return NULL;
    Py_INCREF(arguments); /* they are wanted as long as the process lasts */
    if (!(exchange = PyCapsule_GetPointer(capsule, "dlpack_exchange_api"))) return NULL;
    if (exchange->major != 1 || !exchange->look) exchange = NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"infer", (PyCFunction)(void (*)(void))infer, METH_FASTCALL, NULL},
    {"prepare", prepare, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef kernel_module = {PyModuleDef_HEAD_INIT, "_butterfly", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__butterfly(void) { return PyModule_Create(&kernel_module); }
#endif
