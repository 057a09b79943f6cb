"""What PyTorch's autograd does, in small runnable pieces: the code that page tm-07 shows.

The sessions are doctests (run with ELLIPSIS and NORMALIZE_WHITESPACE: long messages are wrapped here). Names with a
leading underscore on PyTorch's nodes are for looking inside; they are no public interface and may change.
"""

from collections import Counter

import torch


def square_session() -> None:
    """The graph of a sum of squares, as the interpreter prints it.

    >>> # --8<-- [start:square]
    >>> x = torch.tensor([1., 2., 3.], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y
    tensor(14., grad_fn=<SumBackward0>)
    >>> mul = y.grad_fn.next_functions[0][0]
    >>> mul.next_functions
    ((<AccumulateGrad object at 0x...>, 0),
     (<AccumulateGrad object at 0x...>, 0))
    >>> leaf = mul.next_functions[0][0]
    >>> leaf is mul.next_functions[1][0], leaf.variable is x
    (True, True)
    >>> mul._saved_self is x, mul._saved_other is x
    (True, True)
    >>> y.backward()
    >>> x.grad
    tensor([2., 4., 6.])
    >>> # --8<-- [end:square]
    """


def incoming_edges(root):
    """How many edges enter each node that is reachable from `root`."""
    waits, found = Counter(), [root]
    for node in found:
        for child, _ in node.next_functions:
            if child is not None:
                if child not in waits:
                    found.append(child)
                waits[child] += 1
    return waits


# --8<-- [start:engine]
def run_backward(root, gradient):
    """root.backward(gradient) on PyTorch's own nodes."""
    waits = incoming_edges(root)
    ready, buffers, order = [root], {root: {0: gradient}}, []
    while ready:
        node = max(ready, key=lambda n: n._sequence_nr())
        ready.remove(node)  # of the ready, the one recorded last
        order.append(node)
        parts = vjp(node, buffers)
        for edge, part in zip(node.next_functions, parts, strict=True):
            child, slot = edge
            if child is None:  # this input needs no gradient
                continue
            add(buffers, child, slot, part)
            waits[child] -= 1
            if waits[child] == 0:  # all its consumers have reported
                ready.append(child)
    return order


# --8<-- [end:engine]


def vjp(node, buffers):
    """Call `node` on the gradients of its outputs, taken out of `buffers`; a tuple of gradients of its inputs.

    An output that nobody used has no gradient: None stands for zeros. AccumulateGrad adds to `.grad` itself. Nodes of
    custom Functions cannot be called from Python: TypeError.
    """
    collected = buffers.pop(node, {})
    parts = node(*[collected.get(slot) for slot in range(len(node._input_metadata))])
    return parts if isinstance(parts, tuple) else (parts,)


def add(buffers, node, slot, part):
    """Add `part` to the gradient of output `slot` of `node`; broadcasting is undone by summing, as in the engine."""
    buffer = buffers.setdefault(node, {})
    if part is not None:
        part = part.sum_to_size(node._input_metadata[slot].shape)
        buffer[slot] = buffer[slot] + part if slot in buffer else part


def in_place_session() -> None:
    """Two in-place additions: one destroys what backward needs, the other does not.

    >>> # --8<-- [start:in-place]
    >>> x = torch.tensor([1., 2., 3.], requires_grad=True)
    >>> y = x * 2           # backward needs only the number 2
    >>> y.add_(1).sum().backward(); x.grad
    tensor([2., 2., 2.])
    >>> y = x.exp()         # backward needs the result y itself
    >>> y._version, y.add_(1)._version
    (0, 1)
    >>> y.sum().backward()
    Traceback (most recent call last):
    RuntimeError: one of the variables needed for gradient computation
    has been modified by an inplace operation: [torch.FloatTensor [3]],
    which is output 0 of Exp, is at version 1; expected version 0
    instead. Hint: ...
    >>> # --8<-- [end:in-place]
    """


def double_session() -> None:
    """The slope of tanh(w x) in its input x, differentiated once more in the weight w.

    >>> # --8<-- [start:double]
    >>> w = torch.tensor(0.5, requires_grad=True)
    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> y = torch.tanh(w * x)
    >>> g, = torch.autograd.grad(y, x, create_graph=True)
    >>> g
    tensor(0.2100, grad_fn=<MulBackward0>)
    >>> g.backward()
    >>> w.grad
    tensor(-0.2197)
    >>> # --8<-- [end:double]
    """


def hooks_session() -> None:
    """The order in which hooks are called: of the tensor, before the node, after the node, after accumulation.

    >>> # --8<-- [start:hooks]
    >>> x = torch.tensor(2., requires_grad=True)
    >>> h = x * 3
    >>> _ = h.register_hook(lambda g: print("tensor", g) or 10 * g)
    >>> _ = h.grad_fn.register_prehook(lambda g: print("before", *g))
    >>> _ = h.grad_fn.register_hook(lambda i, o: print("after", i[0]))
    >>> _ = x.register_post_accumulate_grad_hook(
    ...     lambda p: print("grad", p.grad))
    >>> (h * h).backward()
    tensor tensor(12.)
    before tensor(120.)
    after tensor(360.)
    grad tensor(360.)
    >>> # --8<-- [end:hooks]
    """


# --8<-- [start:swish]
class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)  # computed again rather than kept
        return grad_output * (s + x * s * (1 - s))


# --8<-- [end:swish]


def jvp_by_two_vjps(function, x, tangent):
    """J(x) · tangent out of two reverse passes (the double-backward trick), `tangent` of the shape of x.

    The first pass gives J^T u, linear in u; the derivative of <J^T u, tangent> in u is J tangent, whatever u is.
    """
    value = function(x)
    u = torch.zeros_like(value, requires_grad=True)
    (pulled,) = torch.autograd.grad(value, x, grad_outputs=u, create_graph=True)
    (pushed,) = torch.autograd.grad(pulled, u, grad_outputs=tangent)
    return pushed


# --8<-- [start:hvp]
def hessian_times(loss, theta, v):
    """H v without H: two backward passes; v has the shape of theta."""
    (g,) = torch.autograd.grad(loss, theta, create_graph=True)
    (hv,) = torch.autograd.grad(g, theta, grad_outputs=v)
    return hv


# --8<-- [end:hvp]
