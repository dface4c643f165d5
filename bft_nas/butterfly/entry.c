/* Inference from Python at once: what fused.py does in steps takes as long as the transform of a small image.

   `infer` answers None where anything is not plain (gradients, another type or device, somebody who watches), and
   fused.py goes the long way. No header of torch's is needed: what is asked of a tensor is asked through Python. Where
   Python's headers are not installed there is no short way. */

#if __has_include(<Python.h>)
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "call.h"

static PyObject *tensor, *parameter, *float32, *watchers, *threads, *empty_like;
static PyObject *of_dtype, *of_is_cpu, *of_shape, *of_data_ptr, *of_is_contiguous, *new_empty;

/* Whether an attribute, or what a method returns, is this object. */
static int has(PyObject *self, PyObject *name, PyObject *wanted) {
    PyObject *value = PyObject_GetAttr(self, name);
    Py_XDECREF(value);
    return value == wanted;
}

static int says_yes(PyObject *self, PyObject *method) {
    PyObject *value = PyObject_CallMethodNoArgs(self, method);
    Py_XDECREF(value);
    return value == Py_True;
}

static void *address(PyObject *self) {
    PyObject *value = PyObject_CallMethodNoArgs(self, of_data_ptr);
    void *pointer = value ? PyLong_AsVoidPtr(value) : NULL;
    Py_XDECREF(value);
    return pointer;
}

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

static int is_plain(PyObject *x) { return has(x, of_dtype, float32) && says_yes(x, of_is_contiguous); }

/* A tensor for the result of a call, whose batch and pixels are set; NULL where `x` has other channels, or with an error.
   `new_empty` takes half a microsecond longer than `empty_like`. */
static PyObject *result_for(PyObject *x, long n_in, long n_out, bft_call *call) {
    PyObject *sizes = PyObject_GetAttr(x, of_shape), *wanted = NULL, *y = NULL;
    if (!sizes) return NULL;
    Py_ssize_t dimensions = PyTuple_GET_SIZE(sizes);
    if (dimensions >= 2 && PyLong_AsLong(PyTuple_GET_ITEM(sizes, 1)) == n_in) {
        call->batch = PyLong_AsLong(PyTuple_GET_ITEM(sizes, 0)), call->pixels = 1;
        for (Py_ssize_t i = 2; i < dimensions; i++) call->pixels *= PyLong_AsLong(PyTuple_GET_ITEM(sizes, i));
        if (n_in == n_out) {
            y = PyObject_CallOneArg(empty_like, x);
        } else if ((wanted = PyTuple_New(dimensions))) {
            for (Py_ssize_t i = 0; i < dimensions; i++)
                PyTuple_SET_ITEM(wanted, i, i == 1 ? PyLong_FromLong(n_out) : Py_NewRef(PyTuple_GET_ITEM(sizes, i)));
            y = PyObject_CallMethodOneArg(x, new_empty, wanted);
            Py_DECREF(wanted);
        }
    }
    Py_DECREF(sizes);
    return y;
}

/* infer(x, stages by name, factors, n_in, n_out): y, or None. */
static PyObject *infer(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    if (count != 5 || !PyDict_Check(arguments[1]) || !PyTuple_Check(arguments[2]))
        return PyErr_Format(PyExc_TypeError, "expected a tensor, a dictionary, a tuple and two numbers");
    PyObject *x = arguments[0], *stages = arguments[1], *factors = arguments[2];
    if (Py_TYPE(x) != (PyTypeObject *)tensor || !unwatched() || !has(x, of_is_cpu, Py_True) || !is_plain(x)) goto other;
    bft_shape shape = {PyLong_AsLong(arguments[3]), PyLong_AsLong(arguments[4]), PyTuple_GET_SIZE(factors), {0}};
    if (shape.stages > MAX_STAGES || PyDict_GET_SIZE(stages) != shape.stages) goto other;
    bft_call *call = alloca(sizeof *call + shape.stages * sizeof *call->stages);
    PyObject *name, *stage;
    for (Py_ssize_t at = 0, i = 0; PyDict_Next(stages, &at, &name, &stage); i++) {
        if (Py_TYPE(stage) != (PyTypeObject *)parameter || !is_plain(stage)) goto other;
        call->stages[i] = address(stage);
        shape.factors[i] = PyLong_AsLong(PyTuple_GET_ITEM(factors, i));
    }
    PyObject *y = result_for(x, shape.n_in, shape.n_out, call);
    if (!y) goto other;
    PyObject *workers = PyObject_CallNoArgs(threads);
    if (workers) {
        call->shape = &shape, call->type = FLOAT, call->channels_last = 0, call->threads = PyLong_AsLong(workers);
        call->x = address(x), call->y = address(y), call->gy = NULL, call->gx = NULL;
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

/* prepare(types of a tensor and of a parameter, float32, watchers, threads, empty_like): what `infer` is to ask. */
static PyObject *prepare(PyObject *module, PyObject *arguments) {
    (void)module;
    if (!PyArg_ParseTuple(arguments, "O!O!OO!OO", &PyType_Type, &tensor, &PyType_Type, &parameter, &float32,
                          &PyTuple_Type, &watchers, &threads, &empty_like))
        return NULL;
    Py_INCREF(arguments); /* they are wanted as long as the process lasts */
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"infer", (PyCFunction)(void (*)(void))infer, METH_FASTCALL, NULL},
    {"prepare", prepare, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef kernel_module = {PyModuleDef_HEAD_INIT, "_kernel", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernel(void) {
    PyObject **names[] = {&of_dtype, &of_is_cpu, &of_shape, &of_data_ptr, &of_is_contiguous, &new_empty};
    const char *texts[] = {"dtype", "is_cpu", "shape", "data_ptr", "is_contiguous", "new_empty"};
    for (int i = 0; i < 6; i++)
        if (!*names[i] && !(*names[i] = PyUnicode_InternFromString(texts[i]))) return NULL;
    return PyModule_Create(&kernel_module);
}
#endif
